"""Provider methods: which provider offers which method, and whether rules may offer it now (CR5)."""

from payadmin.models.checkout import ProviderMethod
from payadmin.permissions import Permission
from payadmin.views.base import PayAdminModelView
from payadmin.views.registry import page


@page(menu="")
class ProviderMethodsPage(PayAdminModelView):
    """The pairs that checkout rules choose from."""

    model = ProviderMethod
    slug = "provider-methods"
    plural = "Provider methods"
    singular = "Provider method"
    subtitle = "What checkout rules may offer. A pair that is disabled is offered to nobody from that moment on."
    read = Permission.CHECKOUT_RULE_READ
    create = edit = Permission.CHECKOUT_RULE_WRITE
    delete = None  # versions of the rules name them for ever
    export = None
    column_list = ("provider", "method", "is_enabled", "updated_at")
    column_filters = ("method", "is_enabled")
    column_sortable = ("id",)
    default_sort = "id"
    form_columns = ("provider", "method", "is_enabled")
    phone = {"provider": "m1", "method": "m3", "is_enabled": "m2", "updated_at": "m4"}

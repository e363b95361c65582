"""Tariffs: contracts and cashback profiles that a second person decides, exchange rates and units that need none."""

from payadmin.actions.tariffs.cashback import assign_profile, save_profile
from payadmin.actions.tariffs.contracts import (
    add_version,
    assign_contract,
    open_contract,
    rename_contract,
    set_contract_status,
    withdraw_version,
)
from payadmin.actions.tariffs.rates import Imported, add_rate, import_ecb, import_office_rates
from payadmin.actions.tariffs.units import add_unit, rename_unit, set_unit_status

__all__ = [
    "Imported",
    "add_rate",
    "add_unit",
    "add_version",
    "assign_contract",
    "assign_profile",
    "import_ecb",
    "import_office_rates",
    "open_contract",
    "rename_contract",
    "rename_unit",
    "save_profile",
    "set_contract_status",
    "set_unit_status",
    "withdraw_version",
]

"""The command line: run payadmin, alone or in parts, and look after its data."""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime

    from flask import Flask

    from payadmin.config import Settings
    from payadmin.embedded import Home, Parts

T = TypeVar("T")
DEFAULT_HOME = Path("var")
MOST_LINES = 100
DEMO_PASSWORD = "payadmin-demo-2026"  # noqa: S105 - printed on the screen of every demo

_HOME = click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), default=DEFAULT_HOME, show_default=True,
    help="Folder that keeps everything: data, keys, files, logs.",
)  # fmt: skip
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - compared, not bound
_PORT = click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
_HOST = click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")


@click.group()
@click.version_option(package_name="payadmin")
def main() -> None:
    """Run payadmin, a payments back office, and look after its data."""
    if parent := os.environ.get("PAYADMIN_PARENT"):
        from payadmin.embedded import die_with_parent

        die_with_parent(int(parent))


# ---- everything on one machine -------------------------------------------------------------------------------------


@main.command()
@_HOME
@_HOST
@_PORT
@click.option(
    "--full", is_flag=True, help="All 181,335 card transactions and 7,043 subscriptions, not 20,000 and 1,000."
)
def demo(home: Path, host: str, port: int, *, full: bool) -> None:
    """Try payadmin: real sample payments, one account per role, a simulated provider, nothing to install."""
    _run_embedded(home, host, port, demo=True, full=full)


@main.command()
@_HOME
@_HOST
@_PORT
def up(home: Path, host: str, port: int) -> None:
    """Run payadmin on this machine without sample data; asks for the first administrator."""
    _run_embedded(home, host, port, demo=False, full=False)


def _run_embedded(home: Path, host: str, port: int, *, demo: bool, full: bool) -> None:
    from payadmin.embedded import AlreadyRunning, Home, Parts

    signal.signal(signal.SIGTERM, _stop)
    folder = Home(home.expanduser().absolute())
    address = f"http://{host}:{port}/"
    parts = Parts(folder)
    try:
        with folder.held(address):
            try:
                _serve_embedded(folder, parts, host, port, demo=demo, full=full)
            finally:
                parts.stop()
    except (AlreadyRunning, RuntimeError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _stop(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def _serve_embedded(home: "Home", parts: "Parts", host: str, port: int, *, demo: bool, full: bool) -> None:
    import socket

    from payadmin import create_app
    from payadmin.config import Settings
    from payadmin.migrations import upgrade
    from payadmin.serving import embedded_server

    # Bound before the long work: a port that is taken is reported at once.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        msg = f"Port {port} on {host} is not free ({error.strerror}). Choose another with --port."
        raise click.ClickException(msg) from None
    port = listener.getsockname()[1]

    upgrade(home.database_url)
    env = _environment(home, demo=demo)
    if demo:
        # The demo is reached where it listens, so its mails can hold links.
        # The account that mock-bank gives to whoever tries it; without BANK_URL nothing is sent anywhere.
        env.setdefault("BANK_IBAN", "NL41MOCK0000000001")
        env.setdefault("PUBLIC_URL", f"http://{'127.0.0.1' if host == _EVERYWHERE else host}:{port}")
    if "SIMULATOR_URL" not in env:
        env["SIMULATOR_URL"] = _start_simulator(home, parts)
    env["REDIS_URL"] = parts.start_valkey()
    settings = Settings.from_env(env)
    home.write_private(home.path / "address", settings.public_url)
    app = create_app(settings)
    accounts = _prepare_demo(app, home, full=full) if demo else _prepare_up(app)
    parts.start_payadmin("worker", "worker", env=env)
    parts.start_payadmin("scheduler", "scheduler", env=env)
    if settings.support_domain:
        parts.start_payadmin("mailin", "mailin", env=env)
    parts.supervise(lambda text: click.echo(text, err=True))
    server = embedded_server(app, listener)
    listener.listen(128)
    _greet(f"http://{host}:{port}/", home, accounts)
    server.run()


def _environment(home: "Home", *, demo: bool) -> dict[str, str]:
    """What the parts are told: the environment, and the home's own keys and database where it says nothing."""
    ours = {
        "DATABASE_URL": home.database_url,
        "SECURE_COOKIES": "no",  # plain http on this machine; a proxy with https sets it
        "DEMO": "yes" if demo else "no",
        "WEBHOOK_PRIVATE_ADDRESSES": "yes" if demo else "no",  # the demo's merchant is the simulator on this machine
        **home.secrets(),
    }
    env = {**ours, **os.environ, "DATABASE_URL": home.database_url}
    env["FILES_FOLDER"] = str(home.path / "files")
    return env


def _start_simulator(home: "Home", parts: "Parts") -> str:
    import socket

    from payadmin.embedded import wait_until

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    journal = home.path / "simulator.jsonl"
    child = parts.start_payadmin(
        "simulator", "simulator", "--port", str(port), "--journal", str(journal), env=dict(os.environ)
    )
    wait_until(lambda: _listens(port), what="The provider's simulator", child=child, log=home.log("simulator"))
    return f"http://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _prepare_demo(app: "Flask", home: "Home", *, full: bool) -> list[dict[str, str]]:
    from payadmin.actions import access
    from payadmin.db import db
    from payadmin.sample.cash import load_cash
    from payadmin.sample.checkout import set_rules
    from payadmin.sample.identification import load_identification
    from payadmin.sample.load import load_sample
    from payadmin.sample.policies import set_policies
    from payadmin.sample.products import load_products
    from payadmin.sample.register import connect_endpoint, register_telco
    from payadmin.sample.risk import load_risk
    from payadmin.sample.support import load_support
    from payadmin.sample.tariffs import load_tariffs
    from payadmin.sample.usage import load_usage
    from payadmin.sample.wallets import load_wallets

    settings: Settings = app.extensions["payadmin.settings"]
    with app.app_context():
        _with_progress("Loading real card transactions", lambda step: load_sample(db.engine, full=full, progress=step))
        _with_progress(
            "Registering subscriptions",
            lambda step: register_telco(db.engine, zone=settings.zone, full=full, progress=step),
        )
        connect_endpoint(settings.simulator_url, settings.totp_keys)
        set_policies()
        set_rules()
        organizations = load_usage(settings.zone)
        _with_progress("Writing contracts and exchange rates", lambda step: load_tariffs(full=full, progress=step))
        _with_progress("Booking payments in the ledger", _book_recorded)
        load_wallets()
        load_products()
        load_risk(settings.zone)
        file = home.path / "demo-accounts.json"
        known: dict[str, dict[str, str]] = {}
        if file.exists():
            known = {item["username"]: item for item in json.loads(file.read_text())}
        for account in access.create_demo_staff(DEMO_PASSWORD, organizations=organizations):
            known[account.username] = {
                "username": account.username,
                "password": account.password,
                "secret": account.secret,
                "roles": ", ".join(sorted(role.value for role in account.roles)),
            }
        load_identification(settings)
        load_support()
        load_cash(settings)
        _check_books(settings)
        accounts = list(known.values())
        home.write_private(file, json.dumps(accounts, indent=1))
    return accounts


def _book_recorded(step: Callable[[int, int], None]) -> tuple[int, int]:
    """Book what was recorded before; how many payments and facts."""
    from payadmin.actions.ledger import book_recorded
    from payadmin.queries.ledger import unbooked_payments
    from payadmin.work import SYSTEM

    total, payments, facts, last_id = unbooked_payments(), 0, 0, 0
    while (turn := book_recorded(SYSTEM, after_id=last_id)).last_id is not None:
        last_id, payments, facts = turn.last_id, payments + turn.payments, facts + turn.facts
        step(min(payments, total), total)
    return payments, facts


def _check_books(settings: "Settings") -> list[dict[str, Any]]:
    """Run the checks of the books here and now, and keep what they found."""
    from payadmin.actions import ledger
    from payadmin.db import db
    from payadmin.kernel.seals import seal_keys
    from payadmin.ledger import checks
    from payadmin.work import SYSTEM

    check_id = ledger.start_check(SYSTEM, by_job=False)
    results: list[checks.Result] = []

    def run(step: Callable[[int, int], None]) -> None:
        for result in checks.run(db.session(), seal_keys(settings.totp_keys)):
            results.append(result)
            step(len(results), len(checks.CHECKS))

    _with_progress("Checking the books", run)
    db.session.rollback()
    ledger.note_result(SYSTEM, check_id, results=results)
    return [each.plain() for each in results]


def _prepare_up(app: "Flask") -> list[dict[str, str]]:
    from payadmin.actions import access
    from payadmin.db import db
    from payadmin.models.access import StaffUser
    from payadmin.reference import load_reference

    with app.app_context():
        load_reference(db.engine)
        if db.session.query(StaffUser.id).first() is None:
            _create_admin(access.create_first_admin)
    return []


def _create_admin(create: Callable[..., Any]) -> None:
    from payadmin.kernel.errors import Refusal

    if not sys.stdin.isatty():
        msg = "There is no staff yet. Run `payadmin user create-admin` once, or start `payadmin up` in a terminal."
        raise click.ClickException(msg)
    click.echo("There is no staff yet. Who is the first administrator?")
    while True:
        try:
            invitation = create(
                username=click.prompt("User name"),
                full_name=click.prompt("Full name"),
                email=click.prompt("E-mail"),
            )
        except Refusal as refusal:
            click.echo(refusal.sentence)
        else:
            click.echo(f"Sign in as {invitation.username} with this password, once: {invitation.password}")
            click.echo("You will choose your own password and set up an authenticator then.")
            return


def _greet(address: str, home: "Home", accounts: list[dict[str, str]]) -> None:
    from payadmin.db import utcnow
    from payadmin.kernel import totp

    click.echo("")
    click.secho(f"  payadmin is ready: {address}", bold=True)
    click.echo(f"  Everything it keeps is in {home.path}. Press Ctrl-C to stop.")
    if accounts:
        click.echo("")
        click.echo(f"  {'User name':<12}{'Password':<22}{'Code now':<10}{'Authenticator secret':<34}Role")
        for account in accounts:
            code = totp.code_at(account["secret"], utcnow())
            click.echo(
                f"  {account['username']:<12}{account['password']:<22}{code:<10}"
                f"{account['secret']:<34}{account['roles']}"
            )
        where = "" if home.path == DEFAULT_HOME else f" --home {home.path}"
        click.echo("")
        click.echo(f"  A code lasts 30 seconds and works once. For the next one: payadmin code NAME{where}")
        click.echo("  or add the secret to an authenticator app (with --qr it is shown as a QR code).")
        click.echo(f"  No mail server is configured: payadmin mail NAME{where} shows the links that are mailed.")
    click.echo("", nl=True)
    sys.stdout.flush()


def _with_progress(label: str, work: Callable[[Callable[[int, int], None]], T]) -> T:
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def step(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        return work(step)


@main.command()
@click.argument("username")
@_HOME
@click.option("--qr", is_flag=True, help="Show the secret as a QR code for an authenticator app.")
def code(username: str, home: Path, *, qr: bool) -> None:
    """Print the current authenticator code of a demo account."""
    from payadmin.actions.access import demo_secret
    from payadmin.db import db, utcnow
    from payadmin.kernel import totp

    file = home / "demo-accounts.json"
    if not file.exists():
        msg = f"No demo was made in {home}. Say --home DIR as you said it to payadmin demo."
        raise click.ClickException(msg)
    if username not in {item["username"] for item in json.loads(file.read_text())}:
        msg = f"{file} knows no demo account {username!r}."
        raise click.ClickException(msg)
    with _in_app(_settings(home)):
        secret = demo_secret(db.session(), username)
    if secret is None:
        msg = f"{username} has no authenticator: it was reset. The next sign-in sets one up."
        raise click.ClickException(msg)
    if qr:
        import segno

        segno.make(totp.address(secret, username=username, issuer="payadmin demo")).terminal(compact=True)
    click.echo(totp.code_at(secret, utcnow()))


@main.command("mail")
@click.argument("username")
@_HOME
def show_mail(username: str, home: Path) -> None:
    """Print what is mailed to a member of staff while no mail server is configured: links and temporary passwords.

    No page shows them, or whoever reads the Mailbox could take over accounts; this needs the key of the installation.
    """
    from payadmin.actions.access import text_with_secret
    from payadmin.db import db, utcnow
    from payadmin.queries.access import letters_to

    settings = _settings(home)
    if settings.smtp_url:
        msg = "SMTP_URL names a mail server, which delivers the mails."
        raise click.ClickException(msg)
    address = home / "address"
    if not settings.public_url and address.exists():
        settings = dataclasses.replace(settings, public_url=address.read_text().strip())
    with _in_app(settings):
        letters = letters_to(db.session(), username)
        if not letters:
            msg = f"No mail with a link or a temporary password waits for {username!r}."
            raise click.ClickException(msg)
        for mail, link in letters:
            click.secho(f"To {mail.recipient}: {mail.subject}", bold=True)
            is_open = link.is_open(utcnow())
            click.echo(text_with_secret(mail.body, link, settings) if is_open else mail.body)
            if not is_open:
                click.echo("(What it brought does not open anything any more.)\n")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def replay(*, as_json: bool) -> None:
    """Fit schedules to the first half of 183 real recurring series; count which later charges they foretell."""
    from payadmin.sample.replay import figures, replay, table

    found = figures(replay())
    click.echo(json.dumps(found) if as_json else table(found))


# ---- the parts in production ---------------------------------------------------------------------------------------


@main.command()
@_HOST
@_PORT
@click.option("--workers", default=2, show_default=True, help="gunicorn processes.")
@click.option("--threads", default=8, show_default=True, help="Threads of each process.")
def web(host: str, port: int, workers: int, threads: int) -> None:
    """Serve the pages with gunicorn (production)."""
    settings = _settings()  # mistakes are told here, once, instead of by every gunicorn process
    if not settings.trusted_hosts:
        click.echo("TRUSTED_HOSTS is empty: payadmin answers to any host name. Set it to yours.", err=True)
    arguments = ["--bind", f"{host}:{port}", "--workers", str(workers), "--threads", str(threads)]
    application = "payadmin:create_app_from_env()"
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *arguments, application])  # noqa: S606


def _app_folder() -> Path:
    return Path(__file__).resolve().parent.parent


@main.command()
@click.option("--burst", is_flag=True, help="Stop when nothing is left to do.")
def worker(*, burst: bool) -> None:
    """Be a worker: refunds, voids, mails, bulk runs. Start as many as you like."""
    from payadmin import logs
    from payadmin.jobs import runner

    settings = _settings()
    logs.set_up(settings)
    logs.report_errors(settings)
    app = _worker_app(settings)
    if not settings.redis_url:
        with app.app_context():
            runner.drain()
        return
    runner.work(app, settings.redis_url, burst=burst)


@main.command()
def scheduler() -> None:
    """Tick: ring the workers for what is due. Any number of copies may run."""
    from payadmin import logs
    from payadmin.jobs import runner

    settings = _settings()
    logs.set_up(settings)
    logs.report_errors(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    runner.tick(_worker_app(settings), stop)


@main.command()
@_HOST
@click.option("--port", type=click.IntRange(0, 65535), default=8025, show_default=True)
def mailin(host: str, port: int) -> None:
    """Take what customers answer by mail: an SMTP server for the mail server in front of it (SUPPORT_DOMAIN)."""
    import asyncio

    from payadmin import logs
    from payadmin.mailin import serve

    settings = _settings()
    if not settings.support_domain:
        msg = "Set SUPPORT_DOMAIN: without it no address of a ticket exists."
        raise click.ClickException(msg)
    logs.set_up(settings)
    logs.report_errors(settings)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        told = lambda bound: click.echo(f"payadmin takes mail at {host}:{bound}")  # noqa: E731
        await serve(_worker_app(settings), settings, host=host, port=port, stop=stop, ready=told)

    asyncio.run(run())


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8700, show_default=True)
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path), help="File that survives a restart.")
@click.option("--faults", default=None, help="JSON, for example '{\"drop_after\": 0.1}'.")
def simulator(port: int, journal: Path | None, faults: str | None) -> None:
    """Be the payment provider's simulator, with faults on request."""
    from payadmin.simulator import serve

    signal.signal(signal.SIGTERM, _stop)
    wishes = json.loads(faults) if faults else None
    serve(port, journal, wishes, ready=lambda bound: click.echo(f"http://127.0.0.1:{bound}"))


# ---- data ----------------------------------------------------------------------------------------------------------


@main.group("db")
def db_group() -> None:
    """Create, upgrade and check the database."""


@db_group.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema up to date, with the currencies and methods that payments need."""
    from payadmin.db import make_engine
    from payadmin.migrations import upgrade
    from payadmin.reference import load_reference

    url = _settings().database_url
    upgrade(url)
    engine = make_engine(url)
    load_reference(engine)
    engine.dispose()
    click.echo("The schema is up to date.")


@db_group.command("check")
def db_check() -> None:
    """Prove that models, migrations and the database's own constraints are the same."""
    from payadmin.migrations.check import differences

    found = differences(_settings().database_url)
    for line in found:
        click.echo(line)
    if found:
        msg = f"{len(found)} differences between the models and what the migrations make."
        raise click.ClickException(msg)
    click.echo("Models, migrations and constraints agree.")


@db_group.command("grants")
@click.argument("role")
def db_grants(role: str) -> None:
    """Print the rights of a PostgreSQL role that may add to the trail but never change it; pipe it into psql."""
    from payadmin.migrations.grants import grants

    for statement in grants(role):
        click.echo(statement)


@db_group.command("revision")
@click.option("-m", "--message", required=True, help="What the migration does, in a few words.")
def db_revision(message: str) -> None:
    """Write the next migration from what the models say (developers)."""
    from payadmin.migrations import revision

    file, left = revision(message)
    click.echo(f"{file}: read it, complete it, then run `payadmin db check`.")
    for line in left:
        click.echo(f"to be written by hand: {line}")


@main.command()
@click.argument("target", type=click.Path(path_type=Path))
@_HOME
def backup(target: Path, home: Path) -> None:
    """Save the database and the kept files into TARGET (a folder, or the archive's name), and read it back."""
    import socket
    import time

    from payadmin import backup as backups
    from payadmin.actions import system
    from payadmin.work import SYSTEM

    settings = _settings(home)
    began = time.monotonic()
    try:
        written = backups.write(settings, target, environ=os.environ, say=lambda text: click.echo(text, err=True))
    except backups.BackupError as error:
        raise click.ClickException(str(error)) from None
    with _in_app(settings):
        system.note_backup(
            SYSTEM,
            host=socket.gethostname()[:60],
            file=str(written.file.absolute()),
            size=written.size,
            sha256=written.sha256,
            seconds=int(time.monotonic() - began),
            head=written.head,
        )
    click.echo(f"{written.file}: {written.size:,} bytes, {sum(written.counts.values()):,} rows")
    click.echo(f"sha256 {written.sha256}")
    click.echo(f"The last seal of the trail in it: {written.head or 'none'}")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", default="", metavar="NAME", help="The database's name, to overwrite one that is not empty.")
@_HOME
def restore(file: Path, replace: str, home: Path) -> None:
    """Put a backup back, and prove that the database holds what was saved: schema, rows, seals of the trail."""
    from payadmin import backup as backups
    from payadmin.actions import system
    from payadmin.db import db
    from payadmin.kernel.seals import seal_keys
    from payadmin.migrations import head
    from payadmin.queries.audit import Progress, Verification
    from payadmin.work import SYSTEM

    settings = _settings(home)
    try:
        manifest = backups.restore(
            settings, file, replace=replace, environ=os.environ, say=lambda text: click.echo(text, err=True)
        )
    except backups.BackupError as error:
        raise click.ClickException(str(error)) from None
    rows = sum(manifest["counts"].values())
    click.echo(f"Restored what was saved at {manifest['made_at']}: {rows:,} rows, schema {manifest['revision']}.")
    if manifest["revision"] != head():
        click.echo("Its schema is older than this payadmin: run `payadmin db upgrade`, then `payadmin verify audit`.")
        return
    with _in_app(settings):
        walk = Verification(db.session(), seal_keys(settings.totp_keys), Progress())
        walk.run()
        walk.compare_head(manifest["head"])
        db.session.rollback()
        system.note_restore(SYSTEM, file=file.name, made_at=manifest["made_at"])
    for each in walk.progress.breaks:
        click.echo(each["sentence"])
    if walk.progress.broken:
        msg = "The restored trail is broken, or TOTP_KEYS are not those that sealed it."
        raise click.ClickException(msg)
    click.echo(f"The trail is whole: {walk.progress.events:,} sealed events.")


@main.group()
def verify() -> None:
    """Prove that what was written is still what it was."""


@verify.command("audit")
@click.option("--head", default="", help="A seal that was kept outside, as this command prints it (number:MAC).")
@click.option(
    "--keep",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File outside the database: its seal is looked for, and after a whole trail the newest is written there.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@_HOME
def verify_audit(head: str, keep: Path | None, home: Path, *, as_json: bool) -> None:
    """Walk through the whole audit trail; name every event that was touched; exit 1 when there is one."""
    from dataclasses import asdict

    from payadmin.actions import audit
    from payadmin.db import db
    from payadmin.jobs.audit import keep_seals
    from payadmin.kernel.seals import seal_keys
    from payadmin.queries.audit import Progress, Verification
    from payadmin.work import SYSTEM

    settings = _settings(home)
    with _in_app(settings):
        keep_seals(settings)
        check_id = audit.start_check(SYSTEM, by_job=False)
        walk = Verification(db.session(), seal_keys(settings.totp_keys), Progress())
        total = walk.size()
        _with_progress("Verifying the trail", lambda step: walk.run(step=lambda done: step(min(done, total), total)))
        for kept in (head, keep.read_text() if keep is not None and keep.exists() else ""):
            walk.compare_head(kept)
        db.session.rollback()
        found = walk.progress
        audit.note_check(SYSTEM, check_id, progress=found, done=True)
    if as_json:
        click.echo(json.dumps({"whole": not found.broken, "head": found.head, **asdict(found)}))
    else:
        for each in found.breaks:
            click.echo(each["sentence"])
        if found.broken > len(found.breaks):
            click.echo(f"… and {found.broken - len(found.breaks)} more.")
        adopted = f" ({found.adopted:,} from before events were signed)" if found.adopted else ""
        click.echo(
            f"{found.events:,} events under {found.seal_id:,} seals{adopted}, {found.unsealed:,} not sealed yet."
        )
        click.echo(f"The last seal, to keep outside: {found.head}")
    if found.broken:
        places = "1 place" if found.broken == 1 else f"{found.broken:,} places"
        click.echo(f"The trail is broken in {places}.", err=True)
        sys.exit(1)
    if keep is not None:
        keep.write_text(found.head + "\n")


@verify.command("rollups")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@_HOME
def verify_rollups(home: Path, *, as_json: bool) -> None:
    """Compare the figures that are kept by day with the payments themselves; exit 1 when they differ."""
    from payadmin.db import db
    from payadmin.jobs.reporting import compare
    from payadmin.queries.reporting import state

    settings = _settings(home)
    with _in_app(settings):
        found = state(db.session())
        is_ready = found is not None and found.zone == settings.zone.key
        days, wrong = 0, list[Any]()
        if is_ready:
            days, wrong = _with_progress("Comparing", lambda step: compare(settings.zone, step=step))
    lines = [str(each) for each in wrong[:MOST_LINES]]
    if as_json:
        told = {"ready": is_ready, "equal": is_ready and not wrong, "days": days}
        click.echo(json.dumps(told | {"differences": len(wrong), "first": lines}))
    elif not is_ready:
        click.echo(
            f"The days of {settings.zone.key} are not built yet: start the scheduler, or `payadmin rollups rebuild`."
        )
    else:
        for line in lines:
            click.echo(line)
        click.echo(f"{days:,} days compared, {len(wrong):,} differences.")
    if wrong or not is_ready:
        sys.exit(1)


@main.group("rollups")
def rollups_group() -> None:
    """Look after the figures that are kept by day."""


@rollups_group.command("rebuild")
@click.option("--afresh", is_flag=True, help="Begin with the first day, even when a rebuild is going on.")
@_HOME
def rollups_rebuild(home: Path, *, afresh: bool) -> None:
    """Count every day anew from the payments. Started again after a stop, it goes on where it was."""
    from payadmin.jobs.reporting import rebuild

    settings = _settings(home)
    with _in_app(settings):
        days = _with_progress("Rebuilding", lambda step: rebuild(settings.zone, afresh=afresh, step=step))
    click.echo(f"{days:,} days are built.")


@verify.command("ledger")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
@_HOME
def verify_ledger(home: Path, *, as_json: bool) -> None:
    """Check the books against their ten invariants; name every row that breaks one; exit 1 when there is one."""
    settings = _settings(home)
    with _in_app(settings):
        results = _check_books(settings)
    broken = sum(each["broken"] for each in results)
    if as_json:
        click.echo(json.dumps({"sound": not broken, "broken": broken, "invariants": results}))
    else:
        for each in results:
            said = (f"{one['value']:,} {one['unit']} {one['label']} {one['about']}" for one in each["figures"])
            figures = ", ".join(said)
            click.echo(f"{each['number']:<4}{'BROKEN' if each['broken'] else 'holds':<8}{each['promise']}")
            click.echo(f"            {' '.join(figures.split())}")
            for row in each["rows"]:
                click.echo(f"            {row['sentence']}")
            if each["broken"] > len(each["rows"]):
                click.echo(f"            … and {each['broken'] - len(each['rows']):,} more.")
    if broken:
        click.echo(f"The books are broken in {broken:,} places.", err=True)
        sys.exit(1)


@main.group("ledger")
def ledger_group() -> None:
    """The books."""


@ledger_group.command("backfill")
@_HOME
def ledger_backfill(home: Path) -> None:
    """Book payments that were recorded before there were books; stopped, it goes on where it was."""
    with _in_app(_settings(home)):
        payments, facts = _with_progress("Booking payments", _book_recorded)
    click.echo(f"{payments:,} payments booked in {facts:,} transactions.")


@main.group()
def user() -> None:
    """Staff accounts."""


@user.command("create-admin")
@click.option("--username", prompt="User name")
@click.option("--full-name", prompt="Full name")
@click.option("--email", prompt="E-mail")
@_HOME
def create_admin(username: str, full_name: str, email: str, home: Path) -> None:
    """Create the first administrator (of DATABASE_URL, or of --home, which is made if it is not there)."""
    from payadmin.actions import access
    from payadmin.embedded import Home
    from payadmin.migrations import upgrade

    if "DATABASE_URL" not in os.environ:
        folder = Home(home.expanduser().absolute())
        folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.secrets()
        upgrade(folder.database_url)
    app = _worker_app(_settings(home))
    with app.app_context():
        invitation = _refusable(lambda: access.create_first_admin(username=username, full_name=full_name, email=email))
    click.echo(f"Sign in as {invitation.username} with this password, once: {invitation.password}")


@main.group("texts")
def texts_group() -> None:
    """Look after the texts and their catalogues (developers)."""


@texts_group.command("extract")
def texts_extract() -> None:
    """Find every text of the program and write it to the catalogues; translations that still fit are kept."""
    from payadmin import extract

    found = extract.extract()
    for language, missing in extract.write(found).items():
        click.echo(f"{language}: {len(found.found)} texts, {missing} not translated")


@texts_group.command("check")
def texts_check() -> None:
    """Say what is not marked, missing, or said otherwise in a catalogue; ends with 1 if there is anything."""
    from payadmin import extract

    found = extract.extract()
    wrong = [f"{each.place}:{each.line}: not marked: {each.text}" for each in found.unmarked]
    wrong += extract.outdated(found)
    for line in wrong:
        click.echo(line)
    if wrong:
        raise SystemExit(1)


@main.group("import")
def import_group() -> None:
    """Bring data in from files."""


@import_group.command("payments")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_HOME
def import_payments(file: Path, home: Path) -> None:
    """Import payments from CSV, XLSX or legacy XLS; the same content is imported once."""
    from payadmin.actions import imports
    from payadmin.work import SYSTEM

    app = _worker_app(_settings(home))
    with app.app_context():
        result = _refusable(
            lambda: _with_progress(
                f"Importing {file.name}",
                lambda step: imports.import_payments(SYSTEM, file.read_bytes(), name=file.name, progress=step),
            )
        )
    click.echo(str(result))


@import_group.command("rates")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--office", metavar="NAME", help="The file is this exchange office's: base, quote, rate, valid_from.")
@click.option("--sure", is_flag=True, help="Rates that are far from the ones before were looked at and are right.")
@_HOME
def import_rates(file: Path, home: Path, *, office: str | None, sure: bool) -> None:
    """Import the ECB's euro rates (eurofxref-hist) or an office's, all or none; the same file again changes nothing."""
    import hashlib

    from payadmin.actions import tariffs
    from payadmin.kernel.rates import read_ecb, read_office, unpacked
    from payadmin.work import SYSTEM

    data, settings = file.read_bytes(), _settings(home)
    given: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest(), "is_sure": sure}
    with _in_app(settings):
        if office is not None:
            rates = _refusable(lambda: list(read_office(unpacked(data), settings.zone)))
            added = _refusable(lambda: tariffs.import_office_rates(SYSTEM, office=office, rates=rates, **given))
            click.echo(f"{added:,} rates added; {len(rates) - added:,} were known.")
            return
        days = _refusable(lambda: list(read_ecb(unpacked(data))))
        found = _refusable(lambda: tariffs.import_ecb(SYSTEM, days=days, **given))
    click.echo(f"{found.added:,} rates added; {found.known:,} were known.")
    if found.unknown:
        click.echo(f"Left out, because they are no units here: {', '.join(found.unknown)}.")
    for each in found.different:
        click.echo(f"Another rate is kept, and stays: {each}.")


@import_group.command("usage")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_HOME
def import_usage_counts(file: Path, home: Path) -> None:
    """Import usage counts of client services from CSV, XLSX or XLS; the same file again changes nothing."""
    from payadmin.actions import usage
    from payadmin.work import SYSTEM

    settings = _settings(home)
    app = _worker_app(settings)
    with app.app_context():
        result = _refusable(
            lambda: _with_progress(
                f"Importing {file.name}",
                lambda step: usage.import_usage(
                    SYSTEM, file.read_bytes(), name=file.name, zone=settings.zone, progress=step
                ),
            )
        )
    click.echo(str(result))


def _refusable(act: Callable[[], T]) -> T:
    from sqlalchemy.exc import IntegrityError

    from payadmin.kernel.errors import Refusal

    try:
        return act()
    except Refusal as refusal:
        raise click.ClickException(refusal.sentence) from None
    except IntegrityError as error:
        # Never the statement: it holds people's data.
        msg = f"The database refused: {str(error.orig).splitlines()[0]}. Nothing was changed."
        raise click.ClickException(msg) from None


@main.command()
def key() -> None:
    """Make a key for TOTP_KEYS or SECRET_KEY."""
    import secrets
    from base64 import urlsafe_b64encode

    click.echo(urlsafe_b64encode(secrets.token_bytes(32)).decode())


@main.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The business day to compare.")
@_HOME
def reconcile(day: "datetime", home: Path) -> None:
    """Compare a day's charges with every provider's own list; exit 1 when they differ."""
    from datetime import timedelta

    from payadmin.jobs.subscriptions import reconcile_provider
    from payadmin.providers import CONNECTED

    settings = _settings(home)
    app = _worker_app(settings)
    start = day.replace(tzinfo=settings.zone)
    differ = False
    with app.app_context():
        for code in sorted(CONNECTED):
            found = reconcile_provider(settings, code, start=start, end=start + timedelta(days=1))
            if found is None:
                msg = f"{code} did not list its charges; try again."
                raise click.ClickException(msg)
            for finding in found:
                click.echo(f"{code} {finding.reference}: {finding.kind.value}: {finding.detail}")
            differ = differ or bool(found)
    if differ:
        sys.exit(1)
    click.echo("Both sides agree.")


# ---- development ---------------------------------------------------------------------------------------------------


@main.command()
@click.option("--quick", is_flag=True, help="Lint, types and import contracts only.")
def check(*, quick: bool) -> None:
    """Run everything that must be green: lint, types, import contracts, tests on SQLite and on PostgreSQL."""
    import subprocess

    python = [sys.executable, "-m"]
    steps = [
        [*python, "ruff", "check", "."],
        [*python, "ruff", "format", "--check", "."],
        [*python, "mypy"],
        [str(Path(sys.executable).with_name("lint-imports"))],
    ]
    if not quick:
        steps += [[*python, "pytest", "-q", "-n", "2", "--db", name] for name in ("sqlite", "postgresql")]
    failed = []
    for step in steps:
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in step)
        click.secho(f"$ {shown}", bold=True)
        if subprocess.run(step, check=False, cwd=_app_folder()).returncode:  # noqa: S603 - the commands above
            failed.append(shown)
    if failed:
        raise click.ClickException("failed: " + "; ".join(failed))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(name: str, arguments: tuple[str, ...]) -> None:
    """Measure something against a peer in the same run: `payadmin bench list --rows 1000000 --json`."""
    _run_module("tests.bench", name, arguments)


@main.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def faults(name: str, arguments: tuple[str, ...]) -> None:
    """Break things on purpose and count the damage: `payadmin faults kill-loop --charges 300 --kills 20 --json`."""
    _run_module("tests.faults", name, arguments)


def _run_module(package: str, name: str, arguments: tuple[str, ...]) -> None:
    import importlib

    sys.path.insert(0, str(_app_folder()))
    try:
        module = importlib.import_module(f"{package}.{name.replace('-', '_')}")
    except ModuleNotFoundError:
        msg = f"There is no {package.rpartition('.')[2]} called {name!r} in this checkout."
        raise click.ClickException(msg) from None
    module.main.main(args=list(arguments), prog_name=f"payadmin {package.rpartition('.')[2]} {name}")


def _settings(home: Path | None = None) -> "Settings":
    from payadmin.config import Settings, SettingsError

    env: dict[str, str] = dict(os.environ)
    if home is not None and "DATABASE_URL" not in env:
        from payadmin.embedded import Home

        if not (home / "secrets.json").exists():
            msg = f"Set DATABASE_URL, or name a --home that `payadmin demo` or `payadmin up` made ({home} is none)."
            raise click.ClickException(msg)
        env = _environment(Home(home.absolute()), demo=False)
    try:
        return Settings.from_env(env)
    except SettingsError as error:
        msg = f"payadmin cannot start with these settings:\n{error}"
        raise click.ClickException(msg) from None


@contextlib.contextmanager
def _in_app(settings: "Settings") -> Iterator[None]:
    """The application for one command; what it opened is closed at the end."""
    from payadmin.db import db

    with _worker_app(settings).app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


def _worker_app(settings: "Settings") -> "Flask":
    from payadmin import create_worker_app
    from payadmin.models import load_models

    load_models()
    return create_worker_app(settings)


if __name__ == "__main__":
    main()

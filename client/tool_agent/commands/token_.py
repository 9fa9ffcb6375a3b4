"""`token` for click: its help and usage; the work is the hot command's."""

import click

from tool_agent.commands import options
from tool_agent.credential import FORMATS, print_token


@click.command("token")
@click.argument("tool")
@options.account
@click.option("--min-ttl", metavar="DURATION", help="Renew what lives less long, like 60s or 4h.")
@click.option("--scope", metavar="S", help="The scopes to ask for, separated by blanks.")
@click.option("--audience", metavar="A", help="The audience to ask for.")
@click.option("--format", type=click.Choice(FORMATS), default="raw", show_default=True)
@options.no_start
@options.quiet
def token_command(tool: str, **given: str | bool | None) -> int:
    """Print the credential of TOOL on stdout.

    Never asks and never opens a browser: without a session it ends at once with status 4. A
    variable of your own, such as CRE_API_KEY, wins over the session where the tool has it so.
    """
    return print_token(
        tool, {name: "1" if value is True else value for name, value in given.items() if value}
    )

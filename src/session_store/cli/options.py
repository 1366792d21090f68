"""What the commands take: their arguments and options, each said once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

from session_store.errors import MissingExtraError

try:
    import typer
except ImportError as error:
    raise MissingExtraError("cli") from error


class Format(StrEnum):
    """What `context` prints."""

    openai = "openai"
    anthropic = "anthropic"
    plain = "plain"


SessionArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="KEY|ID", help="A key, or else the id of a session.")
]
AnySessionArgument: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="[KEY|ID]", help="A key, or else the id of a session.")
]
KeyArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="KEY", help="A key; a new one makes a session.")
]
RoleArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="ROLE", help="Who speaks: user, assistant, system, or your own.")
]
TextArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="TEXT", help="What is said; - reads standard input.")
]
FromArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="FROM", help="The folder or URL to copy.")
]
ToArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="TO", help="The folder or URL to copy it to.")
]
VerifyOption: TypeAlias = Annotated[
    bool, typer.Option("--verify", help="Then compare every byte of every log, keys and metadata.")
]
ResumeOption: TypeAlias = Annotated[
    bool, typer.Option("--resume", help="Go on with a copy that was cut off, or has fallen behind.")
]
NameArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of a branch.")
]
AnyNameArgument: TypeAlias = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The name of a branch; none lists them.")
]
SourceArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file of messages; - reads standard input.")
]
TargetArgument: TypeAlias = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="Where to write; none prints.", show_default=False),
]

LeafOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--leaf", metavar="ID", help="End at this message and not at the head."),
]
LimitOption: TypeAlias = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Only the last N messages.")
]
CountOption: TypeAlias = Annotated[
    int, typer.Option("-n", metavar="N", min=0, help="How many messages.")
]
FollowOption: TypeAlias = Annotated[
    bool, typer.Option("-f", help="Go on with what comes, until Ctrl-C.")
]
IdsOption: TypeAlias = Annotated[bool, typer.Option("--ids", help="Show ids in full.")]
ParentOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--parent", metavar="ID|none", help="Answer this message; none starts a new root."
    ),
]
TypeOption: TypeAlias = Annotated[
    str | None, typer.Option("--type", metavar="TYPE", help="The type, if it is not the role.")
]
IdOption: TypeAlias = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="The id; the same again adds nothing.")
]
AtOption: TypeAlias = Annotated[
    str | None, typer.Option("--at", metavar="ID", help="Its last message; else the head.")
]
DeleteOption: TypeAlias = Annotated[
    bool, typer.Option("--delete", help="Forget the name; the messages stay.")
]
YesOption: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AddOption: TypeAlias = Annotated[
    str | None, typer.Option("--add", metavar="KEY", help="Let this key name the session.")
]
RemoveOption: TypeAlias = Annotated[
    str | None, typer.Option("--remove", metavar="KEY", help="Take this key away.")
]
RepairOption: TypeAlias = Annotated[
    bool, typer.Option("--repair-index", help="First rebuild the index from what is there.")
]
TokensOption: TypeAlias = Annotated[
    int | None, typer.Option("--max-tokens", metavar="N", min=1, help="At most about N tokens.")
]
MessagesOption: TypeAlias = Annotated[
    int | None, typer.Option("--max-messages", metavar="N", min=1, help="At most N messages.")
]
FormatOption: TypeAlias = Annotated[
    Format, typer.Option("--format", help="For a provider, or for a person.")
]
KeyOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", help="Into which session; else what the file says or is called."
    ),
]
SkipBadOption: TypeAlias = Annotated[bool, typer.Option("--skip-bad", help="Leave bad lines out.")]

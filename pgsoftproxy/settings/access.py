"""The sections of the configuration that say who gets in: encryption on either side."""

from typing import Annotated, Literal

from pydantic import Field

from pgsoftproxy.session.door import Method, TlsMode
from pgsoftproxy.settings.kinds import FilePath, Must, Seconds, TlsChoice
from pgsoftproxy.settings.tables import Section

MethodChoice = Annotated[Method, Field(strict=False), Must('"relay" or "scram"')]
Query = Annotated[str, Must("a query with the one parameter $1")]
TlsVersion = Annotated[Literal["1.2", "1.3"], Must('"1.2" or "1.3"')]


class ClientTls(Section):
    """How clients encrypt. A reload reads the files again; running sessions keep what they have."""

    mode: TlsChoice = Field(
        default=TlsMode.DISABLE,
        description="`disable`: nobody does; `allow` or `prefer`: whoever asks; `require`: everybody; `verify-ca`: "
        "with a certificate that `ca` has signed; `verify-full`: one that names the user.",
    )
    cert: FilePath | None = Field(
        default=None, description="The proxy's certificate, with its chain, in PEM."
    )
    key: FilePath | None = Field(default=None, description="Its private key, in PEM, without a password.")
    ca: FilePath | None = Field(
        default=None,
        description="Who signs certificates of clients, in PEM. With it, whatever certificate they show is verified.",
    )
    min_version: TlsVersion = Field(default="1.2", description="The oldest version of TLS that is spoken.")


class Auth(Section):
    """Who authenticates clients. A reload reads the file again."""

    method: MethodChoice = Field(
        default=Method.RELAY,
        description="`relay`: the server, by whatever method it asks for, and the proxy knows no secret; `scram`: the "
        "proxy, by SCRAM-SHA-256, which then logs in to the server by what the client has proven.",
    )
    users_file: FilePath | None = Field(
        default=None,
        description='Users and what is stored of their passwords, as PgBouncer\'s `auth_file`: `"user" "secret"` on '
        "each line, the secret a SCRAM-SHA-256 verifier or a password.",
    )
    query: Query = Field(
        default="",
        description="For users who are in no file: returns name and secret of the user `$1`, asked over the control "
        "connection with the search_path `pg_catalog`. Users who may not log in, or not any more, fail in any case.",
    )
    failure_delay: Seconds = Field(
        default=0.5, description="Seconds that a client waits for the answer that it has failed."
    )


class UpstreamTls(Section):
    """How the way to the server is encrypted, cancel requests too. A reload reads the files again."""

    mode: TlsChoice = Field(
        default=TlsMode.DISABLE,
        description="As libpq's `sslmode`: `disable`; `allow`: if the server refuses plain connections; `prefer`: if "
        "it can; `require`; `verify-ca`: a certificate that `ca` has signed; `verify-full`: and for this host.",
    )
    ca: FilePath | None = Field(
        default=None,
        description="Who signs the server's certificate, in PEM, verified in every mode; `system` for those that the "
        "operating system believes, with `verify-full` alone.",
    )
    cert: FilePath | None = Field(default=None, description="A certificate to show to the server, in PEM.")
    key: FilePath | None = Field(default=None, description="Its private key, in PEM, without a password.")
    min_version: TlsVersion = Field(default="1.2", description="The oldest version of TLS that is spoken.")

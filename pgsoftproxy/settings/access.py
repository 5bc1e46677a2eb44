"""The sections of the configuration that say who gets in: encryption on either side."""

from typing import Annotated, Literal

from pydantic import Field

from pgsoftproxy.session.door import TlsMode
from pgsoftproxy.settings.kinds import FilePath, Must, TlsChoice
from pgsoftproxy.settings.tables import Section

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

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

"""`python -m helpers serve`: a policy behind HTTP, until it is told to stop."""

import ipaddress
import sys
from pathlib import Path
from typing import Any

from helpers.cli import numbers
from helpers.cli.parser import Parser
from helpers.errors import BadInput
from helpers.files import read_file
from helpers.serve.limits import Limits
from helpers.serve.protocol import strict_json

POLICIES = {"reach": "helpers.serve.reach:Reach", "openvla": "helpers.policy:load"}
LIMITS = {
    "body": (numbers.whole(1, 1 << 32), "bytes of a request at most"),
    "queue": (numbers.whole(0, 10_000), "requests that wait at most, while one is served"),
    "upload": (numbers.real(0.01, 3600), "seconds for a request to arrive"),
    "deadline": (numbers.real(0.01, 3600), "seconds from a request to its answer"),
    "stuck": (numbers.real(0.01, 36000), "seconds after which a policy that has not answered is started again"),
}
DESCRIPTION = (
    "Serve a policy: POST /act in the protocols of OpenVLA's servers, GET /health, /metrics and /openapi.json. TERM "
    "and INT stop it: what is being served is answered, what waits is refused. docs/serve.md tells the rest."
)


def main(argv: list[str]) -> int:
    """`python -m helpers serve POLICY`: returns 0 when it was told to stop; raises BadInput."""
    parser = Parser("python -m helpers serve", description=DESCRIPTION)
    parser.add_argument("policy", help=f"{', '.join(POLICIES)}, or MODULE:NAME of what makes one")
    parser.add_argument("--options", default="{}", metavar="JSON", help="arguments of the policy, as an object")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1: this machine alone)")
    parser.add_argument("--port", type=numbers.whole(0, 65535), default=8000, help="0 takes a free one (8000)")
    parser.add_argument("--token", type=Path, metavar="FILE", help="a secret that clients must send as Bearer token")
    parser.add_argument("--legacy", action="store_true", help='answer every error with 200 and "error"')
    for name, (kind, text) in LIMITS.items():
        default = getattr(Limits, name)
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{text} ({default:g})")
    options = parser.parse_args(argv)
    limits = Limits(**{name: getattr(options, name) for name in LIMITS})
    token = read_token(options.token)
    if token is None and not loopback(options.host):
        print(f"warning: whoever reaches {options.host} can use it; --token FILE asks for a secret", file=sys.stderr)

    from helpers.serve import server
    from helpers.serve.worker import Policy

    source = POLICIES.get(options.policy, options.policy)
    if ":" not in source:
        fix = f"give one of {', '.join(POLICIES)}, or module:name"
        raise BadInput("policy", repr(source), "a policy, or MODULE:NAME", fix)
    policy = Policy(source, _arguments(options.options))
    server.run(policy, options.host, options.port, limits, token, options.legacy, lambda url: print(url, flush=True))
    return 0


def read_token(path: Path | None) -> str | None:
    """The secret in a file, without the white space around it; None without a file."""
    if path is None:
        return None
    expected, fix = "a file with a secret", "write one: openssl rand -hex 32 > FILE"
    try:
        token = read_file(path, expected, fix, 4096).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, getattr(error, "strerror", None) or "no ASCII text", expected, fix) from error
    if not token or not token.isprintable() or " " in token:
        raise BadInput(path, "nothing, or white space within", expected, fix)
    return token


def loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = strict_json(text)
    except ValueError as error:
        raise BadInput("option --options", f"{text[:40]!r} ({error})", "a JSON object", "quote it") from error
    if not isinstance(found, dict):
        raise BadInput("option --options", repr(text[:40]), 'a JSON object, such as {"pause": 0.1}', "quote it")
    return found

"""`python -m helpers act`: picture in, action and reasoning out."""

from pathlib import Path

from helpers.cli import numbers
from helpers.cli.parser import Parser
from helpers.cli.serve import read_token
from helpers.errors import printable


def main(argv: list[str]) -> int:
    """`python -m helpers act PICTURE INSTRUCTION`: prints the action, and what the policy says; raises BadInput."""
    parser = Parser("python -m helpers act", description="Ask an action server what to do.")
    parser.add_argument("picture", type=Path, help="a JPEG or PNG file")
    parser.add_argument("instruction", help='such as "move to the red block"')
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the server (http://127.0.0.1:8000)")
    parser.add_argument("--token", type=Path, metavar="FILE", help="the secret of the server")
    parser.add_argument("--unnorm_key", metavar="NAME", help="whose statistics scale the action, such as bridge_orig")
    parser.add_argument("--ids", action="store_true", help="print the ids of the tokens in the place of the text")
    parser.add_argument("--form", choices=("tensorrt-openvla", "openvla"), default="tensorrt-openvla",
                        help="of the protocol; openvla: the reference server, which returns no text")  # fmt: skip
    parser.add_argument("--timeout", type=numbers.real(0.1, 3600), default=30, help="seconds for an answer (30)")
    parser.add_argument("--patience", type=numbers.real(0, 3600), default=0,
                        help="seconds in which a server that is busy is asked again (0)")  # fmt: skip
    options = parser.parse_args(argv)
    token = read_token(options.token)

    from helpers.dataset.images import read_image
    from helpers.serve.client import Client

    image = read_image(options.picture)
    with Client(options.url, token, options.form, options.timeout, options.patience) as client:
        answer = client.act(image, options.instruction, options.unnorm_key, options.ids)
    print("action    " + " ".join(f"{value:+.4f}" for value in answer.action))
    if not isinstance(answer.generated, str):
        print("ids       " + " ".join(map(str, answer.generated.ravel())))
    elif answer.generated:
        print(f"generated {printable(answer.generated)}")
    if answer.times:
        print("ms        " + ", ".join(f"{name} {value:.1f}" for name, value in answer.times.items()))
    return 0

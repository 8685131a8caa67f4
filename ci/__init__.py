"""What checks, runs and publishes the lessons and the system behind them."""

import sys

# nbformat asks jsonschema, which would compile grammars of addresses in every process: 1.6 s, and no notebook has one.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

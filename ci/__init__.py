"""What checks, runs and publishes the lessons and the system behind them."""

import sys

# jsonschema, which nbformat brings along, builds a grammar of international addresses with it when it is imported: more
# than a second for each process. No notebook is checked for such addresses, and jsonschema does without it.
sys.modules.setdefault("rfc3987_syntax", None)

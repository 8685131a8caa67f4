"""A page whose errors and requests are noted while it is open."""

import contextlib
import importlib.resources

AXE = "axe_playwright_python"
THIN = """() => {
  const seen = {};
  const often = key => (seen[key] = (seen[key] || 0) + 1) > 3;
  for (const word of document.querySelectorAll('.highlight span[class]'))
    if (often(word.className)) word.replaceWith(...word.childNodes);
  document.querySelectorAll('.highlight pre').forEach(block => block.normalize());
  const look = part => [part, ...part.querySelectorAll('*')].map(e => e.tagName + e.className + e.style.cssText).join();
  for (const part of document.querySelectorAll('tbody tr, section section section'))
    if (often(look(part))) part.remove();
}"""

# The colors of an element follow from what it and those around it are: of those that agree in it, three stand for all.
ALIKE = """() => {
  const seen = {};
  const look = e => e.tagName + '.' + (e.getAttribute('class') || '') + '#' + (e.getAttribute('style') || '');
  const within = e => e === document.body ? '' : look(e) + '<' + within(e.parentElement);
  const inside = e => [...e.children].map(each => look(each) + '(' + inside(each) + ')').join();
  for (const part of [...document.body.querySelectorAll('*')].reverse()) {
    const key = within(part) + '|' + inside(part);
    if ((seen[key] = (seen[key] || 0) + 1) > 3) part.remove();
  }
}"""

# The theme makes what scrolls reachable by the keyboard 0.3 s after the last change of the page or the window.
SETTLE = """async () => {
  const parts = [...document.querySelectorAll('pre, .cell_output > .output, .pst-scrollable-table-container')];
  const done = () => parts.every(e => e.scrollWidth <= e.clientWidth || e.tabIndex === 0);
  for (let waited = 0; !done() && waited < 2000; waited += 50) await new Promise(wake => setTimeout(wake, 50));
}"""


@contextlib.contextmanager
def watched(chromium, origin, **options):
    """A page and the list of what must not happen: messages of errors, failed requests, requests beyond `origin`."""
    with contextlib.closing(chromium.new_context(**options)) as context:
        page, noted = context.new_page(), []
        page.on("console", lambda said: noted.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: noted.append(str(error)))
        page.on("requestfailed", lambda request: noted.append(f"failed: {request.url}"))
        page.on(
            "request", lambda request: noted.append(f"outside: {request.url}") if outside(request, origin) else None
        )
        page.on(
            "response", lambda answer: noted.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None
        )
        yield page, noted


def outside(request, origin):
    return not request.url.startswith((origin, origin.replace("http:", "ws:"), "data:", "blob:"))


def load_axe(page):
    source = importlib.resources.files(AXE) / "axe.min.js"
    page.evaluate(source.read_text(encoding="utf-8") + "\n;0")


def thin_out(page):
    """Leave a few of the many words of code, rows and short sections that look alike: axe-core takes long for each."""
    page.evaluate(THIN)


def thin_out_colors(page):
    """Leave of all that is alike, with all around and in it, what its colors need."""
    page.evaluate(ALIKE)


def settle(page):
    """Give the theme its time, two seconds at most."""
    page.evaluate(SETTLE)


def violations(page, colors):
    """What axe-core finds that is serious or critical, as "rule: element (why)".

    `colors`: the contrast of text to its ground alone, which takes axe-core longer than all other rules; else those.
    """
    rules = "runOnly: ['color-contrast']" if colors else "rules: {'color-contrast': {enabled: false}}"
    script = f"axe.run(document, {{resultTypes: ['violations'], preload: false, {rules}}}).then(r => r.violations)"
    found = [each for each in page.evaluate(script) if each["impact"] in ("serious", "critical")]
    nodes = [(each["id"], node) for each in found for node in each["nodes"]]
    return [f"{rule}: {node['html'][:160]} ({node['failureSummary'][-200:]})" for rule, node in nodes]

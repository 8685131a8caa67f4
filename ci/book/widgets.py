"""The form that an ipywidgets widget has without a kernel: its labels, its values and its picture."""

import base64

from helpers.display.pictures import escaped

STATES = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
NOTE = "The knob turns in JupyterLab; this page shows where it stood."


def states_of(notebook):
    """dict of model id to what the notebook keeps of a widget."""
    return notebook.metadata.get("widgets", {}).get(STATES, {}).get("state", {})


def static(model, states, pictures):
    """A widget and what it holds, as HTML."""
    knobs = [text for text in _parts(model, states, pictures, []) if text]
    return f'<div class="static-widget">{"".join(knobs)}<p class="soft">{NOTE}</p></div>'


def _parts(model, states, pictures, knobs):
    model = model.removeprefix("IPY_MODEL_")
    state = states.get(model, {}).get("state", {})
    name = state.get("_model_name", "").removesuffix("Model")
    if "children" in state:
        for child in state["children"]:
            yield from _parts(child, states, pictures, knobs)
    elif name == "Image":
        data = next((each["data"] for each in states[model].get("buffers", []) if each["path"] == ["value"]), "")
        alt = f"Picture for {', '.join(knobs)}" if knobs else "Picture of the widget"
        yield pictures.element(base64.b64decode(data), state.get("format", "png"), alt) if data else ""
    elif name in ("HTML", "HTMLMath"):
        yield state.get("value", "")
    elif name == "Label":
        yield f"<p>{escaped(state.get('value', ''))}</p>"
    elif "value" in state or "index" in state:
        knobs.append(_setting(state))
        yield f"<p><b>{escaped(state.get('description') or 'value')}</b> {escaped(_value(state))}</p>"


def _value(state):
    labels = state.get("_options_labels")
    return str(labels[state["index"]] if labels and state.get("index") is not None else state.get("value", ""))


def _setting(state):
    return " ".join([state.get("description") or "value", _value(state)])

"""Wrong answers to the exercises of lesson 05; `ci/lessons/wrong.py` tells the form."""


# %% Exercise 1: forgets the half pixel
# says: half a pixel right and down
def source_of(column, row, angle, center_x, center_y):
    theta = -np.radians(angle)
    dx, dy = column - center_x, row - center_y
    return np.cos(theta) * dx + np.sin(theta) * dy + center_x, np.cos(theta) * dy - np.sin(theta) * dx + center_y


# %% Exercise 1: turns the wrong way
# says: turns the wrong way
def source_of(column, row, angle, center_x, center_y):
    theta = np.radians(angle)
    dx, dy = column + 0.5 - center_x, row + 0.5 - center_y
    return np.cos(theta) * dx + np.sin(theta) * dy + center_x, np.cos(theta) * dy - np.sin(theta) * dx + center_y


# %% Exercise 1: takes degrees for radians
# says: in radians
def source_of(column, row, angle, center_x, center_y):
    theta = -angle
    dx, dy = column + 0.5 - center_x, row + 0.5 - center_y
    return np.cos(theta) * dx + np.sin(theta) * dy + center_x, np.cos(theta) * dy - np.sin(theta) * dx + center_y


# %% Exercise 1: turns about the upper left corner
# says: center must stay
def source_of(column, row, angle, center_x, center_y):
    theta = -np.radians(angle)
    x, y = column + 0.5, row + 0.5
    return np.cos(theta) * x + np.sin(theta) * y, np.cos(theta) * y - np.sin(theta) * x


# %% Exercise 1: does not add the center again
# says: add the center again
def source_of(column, row, angle, center_x, center_y):
    theta = -np.radians(angle)
    dx, dy = column + 0.5 - center_x, row + 0.5 - center_y
    return np.cos(theta) * dx + np.sin(theta) * dy, np.cos(theta) * dy - np.sin(theta) * dx


# %% Exercise 1: y first
# says: x comes first
def source_of(column, row, angle, center_x, center_y):
    theta = -np.radians(angle)
    dx, dy = column + 0.5 - center_x, row + 0.5 - center_y
    return np.cos(theta) * dy - np.sin(theta) * dx + center_y, np.cos(theta) * dx + np.sin(theta) * dy + center_x


# %% Exercise 1: the same sign in both lines
# says: each line have its own signs
def source_of(column, row, angle, center_x, center_y):
    theta = -np.radians(angle)
    dx, dy = column + 0.5 - center_x, row + 0.5 - center_y
    return np.cos(theta) * dx + np.sin(theta) * dy + center_x, np.cos(theta) * dy + np.sin(theta) * dx + center_y


# %% Exercise 1: adds the half pixel after the turn
# says: half pixel after the turn
def source_of(column, row, angle, center_x, center_y):
    theta = -np.radians(angle)
    dx, dy = column - center_x, row - center_y
    x, y = np.cos(theta) * dx + np.sin(theta) * dy, np.cos(theta) * dy - np.sin(theta) * dx
    return x + center_x + 0.5, y + center_y + 0.5


# %% Exercise 2: wants one type for all three
# says: image and center are independent
def takes(image, angle, center):
    return image.dtype == angle.dtype == center.dtype and image.dtype in (torch.float32, torch.float16)


# %% Exercise 2: takes every type of 16 bits
# says: bfloat16
def takes(image, angle, center):
    kinds = (torch.float32, torch.float16, torch.bfloat16)
    return image.dtype in kinds and angle.dtype in kinds and angle.dtype == center.dtype


# %% Exercise 2: forgets that angle and center share a field
# says: share the field half_center
def takes(image, angle, center):
    return all(tensor.dtype in (torch.float32, torch.float16) for tensor in (image, angle, center))


# %% Exercise 2: FP32 alone
# says: onramp_rotate_fp16
def takes(image, angle, center):
    return image.dtype == angle.dtype == center.dtype == torch.float32


# %% Exercise 2: forgets the type of angle and center
# says: float64 would be read as garbage
def takes(image, angle, center):
    return image.dtype in (torch.float32, torch.float16) and angle.dtype == center.dtype


# %% Exercise 2: refuses what is not contiguous
# says: types alone count
def takes(image, angle, center):
    kinds = (torch.float32, torch.float16)
    return image.is_contiguous() and image.dtype in kinds and angle.dtype in kinds and angle.dtype == center.dtype


# %% Exercise 2: the name of the function and not whether there is one
# says: must return a bool
def takes(image, angle, center):
    return "onramp_rotate_fp32" if image.dtype == torch.float32 else "onramp_rotate_fp16"


# %% Exercise 2: everything but bfloat16 and float64
# says: uint8
def takes(image, angle, center):
    bad = (torch.bfloat16, torch.float64)
    return image.dtype not in bad and angle.dtype not in bad and angle.dtype == center.dtype


# %% Exercise 2: bytes of an element
# says: int32
def takes(image, angle, center):
    return (
        image.element_size() in (2, 4)
        and image.dtype != torch.bfloat16
        and angle.dtype == center.dtype
        and angle.element_size() in (2, 4)
    )


# %% Exercise 2: bfloat16 for angle and center
# says: bfloat16 would be read as garbage
def takes(image, angle, center):
    return (
        image.dtype in (torch.float32, torch.float16) and angle.dtype == center.dtype and angle.dtype != torch.float64
    )


# %% Exercise 2: angle FP16 and center FP32 pass
# says: share the field half_center
def takes(image, angle, center):
    kinds = (torch.float32, torch.float16)
    exchanged = (angle.dtype, center.dtype) == (torch.float32, torch.float16)
    return image.dtype in kinds and angle.dtype in kinds and center.dtype in kinds and not exchanged


# %% Exercise 3: types and shapes exchanged
# says: the types and the shapes are exchanged
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputShapes",
        "getOutputDimensions": "getOutputDataTypes",
        "serialize": "getFieldsToSerialize",
        "initialize": "onShapeChange",
    }


# %% Exercise 3: leaves the type of the plugin as it is
# says: getPluginType: 'getPluginType' is no method of the ported plugin
def heirs():
    return {
        "getPluginType": "getPluginType",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "getFieldsToSerialize",
        "initialize": "onShapeChange",
    }


# %% Exercise 3: set-up in a method that 8.6 has too
# says: initialize: the 8\.6 plugin has configurePlugin too
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "getFieldsToSerialize",
        "initialize": "configurePlugin",
    }


# %% Exercise 3: set-up where capabilities are asked for
# says: set-up happens when shapes are known
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "getFieldsToSerialize",
        "initialize": "getCapabilityInterface",
    }


# %% Exercise 3: the other way round
# says: the keys are the five names
def heirs():
    return {
        "getPluginName": "getPluginType",
        "getOutputDataTypes": "getOutputDataType",
        "getOutputShapes": "getOutputDimensions",
        "getFieldsToSerialize": "serialize",
        "onShapeChange": "initialize",
    }


# %% Exercise 3: with brackets
# says: without brackets
def heirs():
    return {
        "getPluginType": "getPluginName()",
        "getOutputDataType": "getOutputDataTypes()",
        "getOutputDimensions": "getOutputShapes()",
        "serialize": "getFieldsToSerialize()",
        "initialize": "onShapeChange()",
    }


# %% Exercise 3: serialize becomes attachToContext
# says: bytes became named fields
def heirs():
    return {
        "getPluginType": "getPluginName",
        "getOutputDataType": "getOutputDataTypes",
        "getOutputDimensions": "getOutputShapes",
        "serialize": "attachToContext",
        "initialize": "onShapeChange",
    }


# %% Exercise 4: limits the total
# says: the total .* computed in 64 bits
def fits(extents):
    total = 1
    for extent in extents:
        total *= extent
    return len(extents) == 3 and total < 2**31


# %% Exercise 4: looks at each extent alone
# says: height times width
def fits(extents):
    return len(extents) == 3 and all(extent <= 2**31 - 1 for extent in extents)


# %% Exercise 4: the limit of unsigned integers
# says: at most 2\*\*31 - 1
def fits(extents):
    return len(extents) == 3 and max(extents) < 2**32 and extents[1] * extents[2] < 2**32


# %% Exercise 4: leaves the limit itself out
# says: at most, and not below
def fits(extents):
    largest = 2**31 - 1
    return len(extents) == 3 and max(extents) < largest and extents[1] * extents[2] < largest


# %% Exercise 4: does not look at the number of axes
# says: 4 must be refused|2 axes are to be refused
def fits(extents):
    channels, height, width = extents
    return max(extents) <= 2**31 - 1 and height * width <= 2**31 - 1


# %% Exercise 4: takes any number of axes
# says: three axes are wanted
def fits(extents):
    return max(extents) <= 2**31 - 1 and extents[-1] * extents[-2] <= 2**31 - 1


# %% Exercise 4: one pixel too many
# says: one too many
def fits(extents):
    return len(extents) == 3 and max(extents) < 2**31 and extents[1] * extents[2] <= 2**31


# %% Exercise 4: takes extents of 0
# says: at least 1
def fits(extents):
    largest = 2**31 - 1
    return len(extents) == 3 and max(extents) <= largest and extents[1] * extents[2] <= largest


# %% Project: finds names within words
# says: serializeAll is another word
def uses(source, names):
    things = re.finditer(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source, re.DOTALL)
    words = [thing for thing in things if re.match(r"\w", thing[0])]
    return [(source.count("\n", 0, w.start()) + 1, name) for w in words for name in names if name in w[0]]


def form(source):
    return "8.6"


# %% Project: reads comments of one line
# says: a // comment is no code
def uses(source, names):
    things = re.finditer(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source, re.DOTALL)
    return [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]


def form(source):
    return "8.6"


# %% Project: reads comments of several lines
# says: over several lines is no code
def uses(source, names):
    things = re.finditer(r'//[^\n]*|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source)
    return [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]


def form(source):
    return "8.6"


# %% Project: takes a text in quotes for a comment
# says: inside a text in quotes begins no comment
def uses(source, names):
    things = re.finditer(r"//[^\n]*|/\*.*?\*/|[A-Za-z_]\w*", source, re.DOTALL)
    return [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]


def form(source):
    return "8.6"


# %% Project: removes comments first and loses their lines
# says: comments have lines too
def uses(source, names):
    code = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', source)
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.DOTALL)
    code = re.sub(r"//[^\n]*", "", code)
    lines = enumerate(code.splitlines(), 1)
    return [(number, word) for number, line in lines for word in re.findall(r"\w+", line) if word in names]


def form(source):
    return "8.6"


# %% Project: counts lines from 0
# says: count from 1
def uses(source, names):
    things = re.finditer(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source, re.DOTALL)
    return [(source.count("\n", 0, thing.start()), thing[0]) for thing in things if thing[0] in names]


def form(source):
    return "8.6"


# %% Project: each name once a line
# says: two uses of a name are two
def uses(source, names):
    things = re.finditer(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source, re.DOTALL)
    found = [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]
    return list(dict.fromkeys(found))


def form(source):
    return "8.6"


# %% Project: a half finished port passes for a finished one
# says: expected 'mixed', yours is '10 and 11'
def uses(source, names):
    things = re.finditer(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source, re.DOTALL)
    return [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]


def form(source):
    if uses(source, CURRENT):
        return "10 and 11"
    return "8.6" if uses(source, OUTDATED) else "none"


# %% Project: the form is searched in comments too
# says: expected 'none', yours is '8\.6'
def uses(source, names):
    things = re.finditer(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source, re.DOTALL)
    return [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]


def form(source):
    old_form = any(re.search(rf"\b{name}\b", source) for name in OUTDATED)
    new_form = any(re.search(rf"\b{name}\b", source) for name in CURRENT)
    return "mixed" if old_form and new_form else "8.6" if old_form else "10 and 11" if new_form else "none"


# %% Project: lets a quote after a backslash end the text
# says: a quote after a backslash ends no text
def uses(source, names):
    things = re.finditer(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"|[A-Za-z_]\w*', source, re.DOTALL)
    return [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]


def form(source):
    return "8.6"


# %% Project: a name in a comment makes the form mixed
# says: expected '8\.6', yours is 'mixed'
def uses(source, names):
    things = re.finditer(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*', source, re.DOTALL)
    return [(source.count("\n", 0, thing.start()) + 1, thing[0]) for thing in things if thing[0] in names]


def form(source):
    old_form, new_form = bool(uses(source, OUTDATED)), bool(uses(source, CURRENT))
    if (old_form or new_form) and "IPluginV2" in source and "IPluginV3" in source:
        return "mixed"
    return "8.6" if old_form else "10 and 11" if new_form else "none"


# %% Project: removes texts first, then comments
# says: a quote inside a comment begins no text
def uses(source, names):
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])

    for pattern in (r'"(?:\\.|[^"\\\n])*"', r"//[^\n]*", r"(?s)/\*.*?\*/"):
        source = re.sub(pattern, blank, source)
    words = re.finditer(r"[A-Za-z_]\w*", source)
    return [(source.count("\n", 0, word.start()) + 1, word[0]) for word in words if word[0] in names]


def form(source):
    return "8.6"

"""Typical wrong answers to the exercises of notebooks/systems/openvla.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: counts up
# says: count down
def token_of(value, last):
    return int(last - 257 + np.digitize(np.clip(value, -1, 1), np.linspace(-1, 1, 256)))


# %% Exercise 1: begins with index 0
# says: index of -1 is 1
def token_of(value, last):
    return int(last - np.digitize(np.clip(value, -1, 1), np.linspace(-1, 1, 256)) + 1)


# %% Exercise 1: does not clip below
# says: clipped
def token_of(value, last):
    return int(last - (np.linspace(-1, 1, 256) <= value).sum())


# %% Exercise 1: an edge belongs to the bin below
# says: index of -1 is 1
def token_of(value, last):
    return int(last - (np.linspace(-1, 1, 256) < np.clip(value, -1, 1)).sum())


# %% Exercise 1: rounds to the nearest edge
# says: 385|edge
def token_of(value, last):
    return int(last - 1 - np.round((np.clip(value, -1, 1) + 1) / 2 * 255))


# %% Exercise 1: takes 640 for every vocabulary
# says: vocabulary may be larger
def token_of(value, last):
    return int(640 - np.digitize(np.clip(value, -1, 1), np.linspace(-1, 1, 256)))


# %% Exercise 1: returns an array
# says: must return an int
def token_of(value, last):
    return last - np.digitize(np.clip([value], -1, 1), np.linspace(-1, 1, 256))


# %% Exercise 2: clips as the public code does
# says: refuse it, and do not clip
def values_of(ids, last):
    edges = np.linspace(-1, 1, 256)
    return ((edges[:-1] + edges[1:]) / 2)[np.clip(last - np.asarray(ids) - 1, 0, 254)]


# %% Exercise 2: lets the last token and one above through
# says: above the last
def values_of(ids, last):
    index = last - np.asarray(ids)
    if (index > 256).any():
        raise ValueError("no action")
    edges = np.linspace(-1, 1, 256)
    return ((edges[:-1] + edges[1:]) / 2)[np.clip(index - 1, 0, 254)]


# %% Exercise 2: returns a list
# says: a float64 array is asked for; yours is no array
def values_of(ids, last):
    if any(not last - 256 <= one < last for one in ids):
        raise ValueError("no action")
    return [(2 * min(last - one, 255) - 256) / 255 for one in ids]


# %% Exercise 2: returns float32
# says: a float64 array is asked for; yours is float32
def values_of(ids, last):
    index = last - np.asarray(ids)
    if ((index < 1) | (index > 256)).any():
        raise ValueError("no action")
    edges = np.linspace(-1, 1, 256, dtype=np.float32)
    return ((edges[:-1] + edges[1:]) / 2)[np.minimum(index, 255) - 1]


# %% Exercise 2: refuses with an assertion
# says: a ValueError is asked for
def values_of(ids, last):
    index = last - np.asarray(ids)
    assert ((index >= 1) & (index <= 256)).all()
    edges = np.linspace(-1, 1, 256)
    return ((edges[:-1] + edges[1:]) / 2)[np.minimum(index, 255) - 1]


# %% Exercise 2: forgets that 384 has no bin
# says: are action tokens
def values_of(ids, last):
    index = last - np.asarray(ids)
    if ((index < 1) | (index > 255)).any():
        raise ValueError("no action")
    edges = np.linspace(-1, 1, 256)
    return ((edges[:-1] + edges[1:]) / 2)[index - 1]


# %% Exercise 2: an index error at 384
# says: are action tokens
def values_of(ids, last):
    index = last - np.asarray(ids)
    if ((index < 1) | (index > 256)).any():
        raise ValueError("no action")
    edges = np.linspace(-1, 1, 256)
    return ((edges[:-1] + edges[1:]) / 2)[index - 1]


# %% Exercise 2: returns the edge
# says: middle of the bin
def values_of(ids, last):
    index = last - np.asarray(ids)
    if ((index < 1) | (index > 256)).any():
        raise ValueError("no action")
    return np.linspace(-1, 1, 256)[np.minimum(index, 255) - 1]


# %% Exercise 2: counts up
# says: count down
def values_of(ids, last):
    index = np.asarray(ids) - last + 257
    if ((index < 1) | (index > 256)).any():
        raise ValueError("no action")
    edges = np.linspace(-1, 1, 256)
    return ((edges[:-1] + edges[1:]) / 2)[np.minimum(index, 255) - 1]


# %% Exercise 2: one bin too high
# says: -0.99608
def values_of(ids, last):
    index = last - np.asarray(ids)
    if ((index < 1) | (index > 256)).any():
        raise ValueError("no action")
    edges = np.linspace(-1, 1, 256)
    return ((edges[:-1] + edges[1:]) / 2)[np.minimum(index, 254)]


# %% Exercise 3: one picture for all steps
# says: same scene twice
def driven(see, act, scene, steps):
    picture, tips = see(scene), [scene.tip]
    for _ in range(steps):
        action = act(picture, scene.instruction)
        if action is not None:
            scene = scene.after(action)
        tips.append(scene.tip)
        if scene.closed:
            break
    return tips, scene.succeeded


# %% Exercise 3: the first tip is missing
# says: first tip is missing
def driven(see, act, scene, steps):
    tips = []
    for _ in range(steps):
        action = act(see(scene), scene.instruction)
        if action is not None:
            scene = scene.after(action)
        tips.append(scene.tip)
        if scene.closed:
            break
    return tips, scene.succeeded


# %% Exercise 3: never stops
# says: stop when the gripper has closed
def driven(see, act, scene, steps):
    tips = [scene.tip]
    for _ in range(steps):
        action = act(see(scene), scene.instruction)
        if action is not None:
            scene = scene.after(action)
        tips.append(scene.tip)
    return tips, scene.succeeded


# %% Exercise 3: moves with None
# says: AttributeError|TypeError
def driven(see, act, scene, steps):
    tips = [scene.tip]
    for _ in range(steps):
        scene = scene.after(act(see(scene), scene.instruction))
        tips.append(scene.tip)
        if scene.closed:
            break
    return tips, scene.succeeded


# %% Exercise 3: gives up at the first None
# says: arm stays, for a step|asked again
def driven(see, act, scene, steps):
    tips = [scene.tip]
    for _ in range(steps):
        action = act(see(scene), scene.instruction)
        if action is None:
            break
        scene = scene.after(action)
        tips.append(scene.tip)
        if scene.closed:
            break
    return tips, scene.succeeded


# %% Exercise 3: forgets the scene that comes after
# says: same scene twice
def driven(see, act, scene, steps):
    tips = [scene.tip]
    for _ in range(steps):
        action = act(see(scene), scene.instruction)
        if action is not None:
            tips.append(scene.after(action).tip)
    return tips, scene.succeeded


# %% Exercise 3: goes on until it is closed
# says: 3 steps are allowed|did not
def driven(see, act, scene, steps):
    tips = [scene.tip]
    while not scene.closed and len(tips) < 20:
        action = act(see(scene), scene.instruction)
        if action is not None:
            scene = scene.after(action)
        tips.append(scene.tip)
    return tips, scene.succeeded


# %% Exercise 3: a closed gripper counts, wherever it is
# says: succeeded
def driven(see, act, scene, steps):
    tips, begin = [scene.tip], scene
    for _ in range(steps):
        action = act(see(scene), scene.instruction)
        if action is not None:
            scene = scene.after(action)
        tips.append(scene.tip)
        if scene.closed:
            break
    return tips, begin.succeeded


# %% Exercise 4: no place for the picture
# says: are six
def with_picture(text, patches, vocab_size, row):
    return list(text)


# %% Exercise 4: the picture comes before the start
# says: start token comes first
def with_picture(text, patches, vocab_size, row):
    first = vocab_size + row * patches
    return [*range(first, first + patches), *text]


# %% Exercise 4: begins at the last word
# says: row 0 of the table is the id vocab_size
def with_picture(text, patches, vocab_size, row):
    first = vocab_size - 1 + row * patches
    return [text[0], *range(first, first + patches), *text[1:]]


# %% Exercise 4: the same id for each patch
# says: one for each patch
def with_picture(text, patches, vocab_size, row):
    return [text[0], *[vocab_size + row] * patches, *text[1:]]


# %% Exercise 4: forgets the batch
# says: row 2 has the rows from
def with_picture(text, patches, vocab_size, row):
    return [text[0], *range(vocab_size, vocab_size + patches), *text[1:]]


# %% Exercise 4: one row for each picture
# says: row 2 has the rows from
def with_picture(text, patches, vocab_size, row):
    first = vocab_size + row
    return [text[0], *range(first, first + patches), *text[1:]]


# %% Exercise 4: keeps the start token twice
# says: are six
def with_picture(text, patches, vocab_size, row):
    first = vocab_size + row * patches
    return [text[0], *range(first, first + patches), *text]


# %% Exercise 4: begins with 1 whatever the prompt's first token is
# says: start token is text
def with_picture(text, patches, vocab_size, row):
    first = vocab_size + row * patches
    return [1, *range(first, first + patches), *text[1:]]


# %% Exercise 4: the picture comes last
# says: rows are 100
def with_picture(text, patches, vocab_size, row):
    first = vocab_size + row * patches
    return [*text, *range(first, first + patches)]


# %% Project: as the public script reads it
# says: begins with another prompt|the text is
def read_output(output, prompt, last, end):
    made = [int(token) for token in output if token != end]
    return made[:-7], values_of(made[-7:], last)


# %% Project: trusts the length of the prompt
# says: begins with another prompt
def read_output(output, prompt, last, end):
    made = [int(token) for token in output][len(prompt) :]
    stop = made.index(end)
    if stop < 7 or any(token != end for token in made[stop:]):
        raise ValueError("no whole action")
    if any(last - 256 <= token < last for token in made[: stop - 7]):
        raise ValueError("more than seven")
    return made[: stop - 7], values_of(made[stop - 7 : stop], last)


# %% Project: takes the end for granted
# says: no end token
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    made = ids[len(prompt) :]
    stop = made.index(end) if end in made else len(made)
    if stop < 7 or any(token != end for token in made[stop:]):
        raise ValueError("no whole action")
    if any(last - 256 <= token < last for token in made[: stop - 7]):
        raise ValueError("more than seven")
    return made[: stop - 7], values_of(made[stop - 7 : stop], last)


# %% Project: looks for the end in the whole output
# says: end token in the prompt
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    stop = ids.index(end)
    if any(token != end for token in ids[stop:]):
        raise ValueError("tokens behind the end")
    made = ids[len(prompt) : stop]
    return made[:-7], values_of(made[-7:], last)


# %% Project: what stands behind the end is dropped
# says: behind the end
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    made = ids[len(prompt) :]
    stop = made.index(end)
    if stop < 7:
        raise ValueError("too few")
    if any(last - 256 <= token < last for token in made[: stop - 7]):
        raise ValueError("more than seven")
    return made[: stop - 7], values_of(made[stop - 7 : stop], last)


# %% Project: six tokens are read too
# says: six tokens
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    made = ids[len(prompt) :]
    stop = made.index(end)
    if any(token != end for token in made[stop:]):
        raise ValueError("tokens behind the end")
    if any(last - 256 <= token < last for token in made[: max(0, stop - 7)]):
        raise ValueError("more than seven")
    return made[: max(0, stop - 7)], values_of(made[max(0, stop - 7) : stop], last)


# %% Project: eight action tokens are one too many, and nobody looks
# says: eighth
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    made = ids[len(prompt) :]
    stop = made.index(end)
    if stop < 7 or any(token != end for token in made[stop:]):
        raise ValueError("no whole action")
    return made[: stop - 7], values_of(made[stop - 7 : stop], last)


# %% Project: looks only at the token right before the seven
# says: middle of the text
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    made = ids[len(prompt) :]
    stop = made.index(end)
    if stop < 7 or any(token != end for token in made[stop:]):
        raise ValueError("no whole action")
    if stop > 7 and last - 256 <= made[stop - 8] < last:
        raise ValueError("more than seven")
    return made[: stop - 7], values_of(made[stop - 7 : stop], last)


# %% Project: the seven stand first
# says: this one is good
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    made = ids[len(prompt) :]
    stop = made.index(end)
    return made[7:stop], values_of(made[:7], last)


# %% Project: refuses by returning nothing
# says: returns nothing|ValueError is asked for
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    made = ids[len(prompt) :]
    if ids[: len(prompt)] != list(prompt) or end not in made:
        return None
    stop = made.index(end)
    return made[: stop - 7], values_of(made[stop - 7 : stop], last)


# %% Project: numbers of the mini for every model
# says: last. and .end
def read_output(output, prompt, last, end):
    ids = [int(token) for token in output]
    if ids[: len(prompt)] != list(prompt):
        raise ValueError("another prompt")
    made = ids[len(prompt) :]
    if 2 not in made:
        raise ValueError("no end")
    stop = made.index(2)
    if stop < 7 or any(token != 2 for token in made[stop:]):
        raise ValueError("no whole action")
    if any(384 <= token < 640 for token in made[: stop - 7]):
        raise ValueError("more than seven")
    return made[: stop - 7], values_of(made[stop - 7 : stop], 640)

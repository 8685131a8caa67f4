"""Typical wrong answers to the exercises of notebooks/03_mixed_precision_marking.ipynb (form: ci/lessons/wrong.py)."""


# %% Exercise 1: subtracts in FP16
# says: subtract in float64
def half_error(values):
    return float(np.abs(values.astype(np.float16) - np.float16(values)).max())


# %% Exercise 1: divides by the value
# says: yours is relative
def half_error(values):
    rounded = values.astype(np.float16).astype(np.float64)
    return float((np.abs(values - rounded) / np.abs(values)).max())


# %% Exercise 1: takes the mean
# says: yours is a mean
def half_error(values):
    return float(np.abs(values - values.astype(np.float16).astype(np.float64)).mean())


# %% Exercise 1: takes the maximum before the absolute value
# says: absolute value first
def half_error(values):
    return float((values - values.astype(np.float16).astype(np.float64)).max())


# %% Exercise 1: leaves out what overflows
# says: overflows, so the error is infinite
def half_error(values):
    rounded = values.astype(np.float16).astype(np.float64)
    good = np.isfinite(rounded)
    return float(np.abs(values[good] - rounded[good]).max(initial=0))


# %% Exercise 1: returns all errors
# says: must return a float
def half_error(values):
    return np.abs(values - values.astype(np.float16))


# %% Exercise 1: the error of the largest value
# says: wherever it stands
def half_error(values):
    i = np.abs(values).argmax()
    return float(abs(values[i] - np.float64(np.float16(values[i]))))


# %% Exercise 1: rounds to halves
# says: 2049 becomes 2048
def half_error(values):
    return float(np.abs(values - np.round(2 * values) / 2).max()) if np.abs(values).max() < 65504 else math.inf


# %% Exercise 2: asks one after the other
# says: need at most
def first_bad(is_bad, count):
    for i in range(count):
        if is_bad(i):
            return i
    return count


# %% Exercise 2: never moves past a good middle
# says: need at most
def first_bad(is_bad, count):
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if is_bad(middle):
            high = middle
        else:
            low = middle
    return low


# %% Exercise 2: returns the last good one
# says: last good one
def first_bad(is_bad, count):
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        if is_bad(middle):
            high = middle
        else:
            low = middle
    return low


# %% Exercise 2: forgets that none may be bad
# says: no tensor of
def first_bad(is_bad, count):
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if is_bad(middle):
            high = middle
        else:
            low = middle + 1
    return low


# %% Exercise 2: asks behind the end
# says: the numbers end at
def first_bad(is_bad, count):
    low, high = 0, count
    while low <= high:
        middle = (low + high + 1) // 2
        if is_bad(middle):
            high = middle - 1
        else:
            low = middle + 1
    return low


# %% Exercise 3: returns at the first pattern that fits
# says: first pattern
def precision_of(name, marks):
    for pattern, kind in marks.items():
        if fnmatchcase(name, pattern):
            return kind
    return "fp32"


# %% Exercise 3: asks whether the pattern is a piece of the name
# says: '\*' fits every name|whole name
def precision_of(name, marks):
    chosen = "fp32"
    for pattern, kind in marks.items():
        if pattern.strip("*") in name:
            chosen = kind
    return chosen


# %% Exercise 3: prefers FP32 to the last pattern
# says: the last one counts
def precision_of(name, marks):
    fitting = [kind for pattern, kind in marks.items() if fnmatchcase(name, pattern)]
    return "fp32" if "fp32" in fitting or not fitting else "fp16"


# %% Exercise 3: has no default
# says: returns nothing yet
def precision_of(name, marks):
    chosen = None
    for pattern, kind in marks.items():
        if fnmatchcase(name, pattern):
            chosen = kind
    return chosen


# %% Exercise 3: takes FP16 as the default
# says: no pattern fits
def precision_of(name, marks):
    chosen = "fp16"
    for pattern, kind in marks.items():
        if fnmatchcase(name, pattern):
            chosen = kind
    return chosen


# %% Exercise 3: the beginning of the name
# says: may stand anywhere
def precision_of(name, marks):
    chosen = "fp32"
    for pattern, kind in marks.items():
        if name.startswith(pattern.rstrip("*")):
            chosen = kind
    return chosen


# %% Exercise 3: the longest pattern
# says: the last of the dict
def precision_of(name, marks):
    fitting = [pattern for pattern in marks if fnmatchcase(name, pattern)]
    return marks[max(fitting, key=len)] if fitting else "fp32"


# %% Exercise 3: the last in the alphabet
# says: the last of the dict|may stand anywhere
def precision_of(name, marks):
    chosen = "fp32"
    for pattern in sorted(marks):
        if fnmatchcase(name, pattern):
            chosen = marks[pattern]
    return chosen


# %% Project: adds the part that helps most, one after the other
# says: x looks best alone, and is a trap
def smallest_set(parts, error_of, tolerance):
    kept = set()
    while error_of(kept) > tolerance:
        rest = [part for part in parts if part not in kept]
        kept = kept | {min(rest, key=lambda part: error_of(kept | {part}))}
    return kept


# %% Project: keeps everything
# says: nothing has to stay in FP32
def smallest_set(parts, error_of, tolerance):
    return set(parts)


# %% Project: removes parts in order while the error allows it
# says: keeping a alone is enough
def smallest_set(parts, error_of, tolerance):
    kept = set(parts)
    for part in parts:
        if error_of(kept - {part}) <= tolerance:
            kept = kept - {part}
    return kept


# %% Project: gives error_of a list
# says: takes a set of names
def smallest_set(parts, error_of, tolerance):
    from itertools import combinations

    for size in range(len(parts) + 1):
        for chosen in combinations(parts, size):
            if error_of(list(chosen)) <= tolerance:
                return set(chosen)


# %% Project: begins with one part
# says: nothing has to stay in FP32
def smallest_set(parts, error_of, tolerance):
    from itertools import combinations

    for size in range(1, len(parts) + 1):
        for chosen in combinations(parts, size):
            if error_of(set(chosen)) <= tolerance:
                return set(chosen)


# %% Project: measures each set twice
# says: more than 40 times
def smallest_set(parts, error_of, tolerance):
    from itertools import combinations

    sets = [set(chosen) for size in range(len(parts) + 1) for chosen in combinations(parts, size)]
    errors = [error_of(each) for each in sets]
    good = [each for each in sets if error_of(each) <= tolerance]
    return min(good, key=len)


# %% Project: the first parts in their order
# says: try all sets
def smallest_set(parts, error_of, tolerance):
    for size in range(len(parts) + 1):
        if error_of(set(parts[:size])) <= tolerance:
            return set(parts[:size])
    return set(parts)


# %% Project: below the tolerance
# says: 0\.01 is at most 0\.01
def smallest_set(parts, error_of, tolerance):
    from itertools import combinations

    for size in range(len(parts) + 1):
        for chosen in combinations(parts, size):
            if error_of(set(chosen)) < tolerance:
                return set(chosen)
    return set(parts)


# %% Project: never all of them
# says: all stay in FP32
def smallest_set(parts, error_of, tolerance):
    from itertools import combinations

    for size in range(len(parts)):
        for chosen in combinations(parts, size):
            if error_of(set(chosen)) <= tolerance:
                return set(chosen)
    return set()

"""Optimization profiles: min, opt and max shapes of every input with free dimensions."""

from helpers.errors import BadInput


def checked(shapes):
    """{input: [min, opt, max]} as lists; BadInput unless they are of one rank and in this order."""
    profile = {name: [list(shape) for shape in three] for name, three in (shapes or {}).items()}
    for name, three in profile.items():
        ordered = len(three) == 3 and len(set(map(len, three))) == 1
        if not ordered or any(not a <= b <= c for a, b, c in zip(*three, strict=True)):
            expected = "(min, opt, max) of one rank, in this order"
            raise BadInput(f"option shapes[{name!r}]", three, expected, "correct it")
    return profile


def add(onnx_path, builder, network, config, shapes):
    """Add a profile for the network's free inputs; returns it, or None if no input has a free dimension.

    Raises:
        BadInput: a free input without shapes, shapes of an unknown input, or shapes that do not fit.
    """
    inputs = {tensor.name: tensor for tensor in map(network.get_input, range(network.num_inputs))}
    free = [name for name, tensor in inputs.items() if -1 in tensor.shape]
    for name in shapes:
        if name not in inputs:
            raise BadInput(
                f"option shapes[{name!r}]", f"no such input of {onnx_path}", list(inputs), "correct the name"
            )
    for name in free:
        if name not in shapes:
            found = f"free dimensions {tuple(inputs[name].shape)} and no shapes"
            fix = "pass shapes, or --minShapes, --optShapes and --maxShapes"
            raise BadInput(f"input {name!r} of {onnx_path}", found, "min, opt and max shapes", fix)
    if not free:
        return None
    profile = builder.create_optimization_profile()
    for name in free:
        for shape in shapes[name]:
            free_shape = tuple(inputs[name].shape)
            fits = len(shape) == len(free_shape)
            if not fits or any(a not in (-1, b) for a, b in zip(free_shape, shape, strict=True)):
                where, expected = f"option shapes[{name!r}]", f"a shape that fits {free_shape}"
                raise BadInput(where, tuple(shape), expected, "correct the shape")
        profile.set_shape(name, *shapes[name])
    config.add_optimization_profile(profile)
    return profile

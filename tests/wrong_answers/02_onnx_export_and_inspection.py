# %% Exercise 1: counts with int()
# says: froze
def masked(query, visible):
    return query.exp() * visible[:, None] / max(int(visible.sum()), 1)


# %% Exercise 1: masks before the exponential
# says: after the exp
def masked(query, visible):
    return (query * visible[:, None]).exp() / visible.sum().clamp(min=1)


# %% Exercise 1: divides by all rows
# says: number of visible rows
def masked(query, visible):
    return query.exp() * visible[:, None] / len(visible)


# %% Exercise 1: does not guard the divisor
# says: 0/0
def masked(query, visible):
    return query.exp() * visible[:, None] / visible.sum()


# %% Exercise 1: guards the divisor by a tiny addend
# says: 1e-8
def masked(query, visible):
    return query.exp() * visible[:, None] / (visible.sum() + 1e-8)


# %% Exercise 1: forgets the axis of the mask
# says: axis
def masked(query, visible):
    return query.exp() * visible / visible.sum().clamp(min=1)


# %% Exercise 1: returns the visible rows alone
# says: shape
def masked(query, visible):
    return query[visible.bool()].exp() / visible.sum().clamp(min=1)


# %% Exercise 1: still gathers
# says: NonZero
def masked(query, visible):
    result = torch.zeros_like(query)
    rows = visible.nonzero().squeeze(1)
    result[rows] = query[rows].exp()
    return result / visible.sum().clamp(min=1)


# %% Exercise 1: an if for the empty mask
# says: decides if and max\(\) once
def masked(query, visible):
    if visible.sum() == 0:
        return torch.zeros_like(query)
    return query.exp() * visible[:, None] / visible.sum()


# %% Exercise 1: through NumPy
# says: without NumPy
def masked(query, visible):
    q, v = query.numpy(), visible.numpy()
    return torch.from_numpy(np.exp(q) * v[:, None] / max(v.sum(), 1))


# %% Exercise 1: changes the query in place
# says: changes `query` itself
def masked(query, visible):
    query.exp_()
    query *= visible[:, None]
    query /= visible.sum().clamp(min=1)
    return query


# %% Exercise 1: a boolean index
# says: index of rows
def masked(query, visible):
    result = query.exp()
    result[visible == 0] = 0
    return result / visible.sum().clamp(min=1)


# %% Exercise 1: float64
# says: stay in float32
def masked(query, visible):
    return query.double().exp() * visible[:, None] / visible.sum().clamp(min=1)


# %% Exercise 2: one node for a list
# says: list
def swish_body():
    return helper.make_node("HardSwish", ["x"], ["y"])


# %% Exercise 2: stops at the sigmoid
# says: multiply it by x
def swish_body():
    return [helper.make_node("Sigmoid", ["x"], ["y"])]


# %% Exercise 2: names the output otherwise
# says: no node makes "y"
def swish_body():
    return [helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["b"])]


# %% Exercise 2: reads the caller's name
# says: function's input is x
def swish_body():
    return [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["y"])]


# %% Exercise 2: puts the nodes in the wrong order
# says: no earlier node makes
def swish_body():
    return [helper.make_node("Mul", ["x", "s"], ["y"]), helper.make_node("Sigmoid", ["x"], ["s"])]


# %% Exercise 2: takes the approximation
# says: expected x \* sigmoid
def swish_body():
    return [helper.make_node("HardSwish", ["x"], ["y"])]


# %% Exercise 2: defines the operator by itself
# says: by Swish
def swish_body():
    return [helper.make_node("Swish", ["x"], ["y"], domain="onramp.lesson")]


# %% Exercise 2: computes values instead of nodes
# says: must hold nodes
def swish_body():
    x = np.array([0.0, 1.0])
    return [1 / (1 + np.exp(-x)), x / (1 + np.exp(-x))]


# %% Exercise 3: counts multiply-accumulates
# says: one multiplication and one addition
def conv_flops(output_shape, weight_shape):
    return math.prod(output_shape) * math.prod(weight_shape[1:])


# %% Exercise 3: counts the output channels twice
# says: C_out counts twice
def conv_flops(output_shape, weight_shape):
    return 2 * math.prod(output_shape) * math.prod(weight_shape)


# %% Exercise 3: forgets the input channels
# says: C_in
def conv_flops(output_shape, weight_shape):
    return 2 * math.prod(output_shape) * math.prod(weight_shape[2:])


# %% Exercise 3: forgets the kernel
# says: kernel is missing
def conv_flops(output_shape, weight_shape):
    return 2 * math.prod(output_shape) * weight_shape[1]


# %% Exercise 3: takes the kernel for a square
# says: need not be square
def conv_flops(output_shape, weight_shape):
    return 2 * math.prod(output_shape) * weight_shape[1] * weight_shape[2] ** 2


# %% Exercise 3: forgets the batch
# says: batch
def conv_flops(output_shape, weight_shape):
    return 2 * math.prod(output_shape[1:]) * math.prod(weight_shape[1:])


# %% Exercise 4: walks one step
# says: no inputs of the graph|walk on
def inputs_of(model, tensor):
    return {name for node in model.graph.node if tensor in node.output for name in node.input}


# %% Exercise 4: keeps the inputs of the first step
# says: walk on
def inputs_of(model, tensor):
    inputs = {value.name for value in model.graph.input}
    return {name for node in model.graph.node if tensor in node.output for name in node.input} & inputs


# %% Exercise 4: follows the first input of each node
# says: all inputs of every node
def inputs_of(model, tensor):
    makers = {name: node for node in model.graph.node for name in node.output}
    while tensor in makers:
        tensor = makers[tensor].input[0]
    return {tensor} & {value.name for value in model.graph.input}


# %% Exercise 4: takes weights for inputs
# says: weights
def inputs_of(model, tensor):
    makers = {name: node for node in model.graph.node for name in node.output}
    wanted, seen = [tensor], set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += makers[name].input if name in makers else []
    return {name for name in seen if name not in makers}


# %% Exercise 4: walks with the arrows
# says: walk on|missing
def inputs_of(model, tensor):
    wanted, seen = [tensor], set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += [made for node in model.graph.node if name in node.input for made in node.output]
    return seen & {value.name for value in model.graph.input}


# %% Exercise 4: names every input of the graph
# says: lidar2img alone
def inputs_of(model, tensor):
    return {value.name for value in model.graph.input}


# %% Exercise 4: returns a list
# says: set
def inputs_of(model, tensor):
    return [value.name for value in model.graph.input]


# %% Exercise 4: the lesson's graph and not the argument
# says: use `model`
def inputs_of(model, tensor):
    makers = {name: node for node in proto.graph.node for name in node.output}
    wanted, seen = [tensor], set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += makers[name].input if name in makers else []
    return seen & {value.name for value in proto.graph.input}


# %% Exercise 4: only the first output of each node
# says: makes all its outputs
def inputs_of(model, tensor):
    makers = {node.output[0]: node for node in model.graph.node}
    wanted, seen = [tensor], set()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            wanted += makers[name].input if name in makers else []
    return seen & {value.name for value in model.graph.input}


# %% Project: the state is a constant of the trace
# says: state is frozen
class Smoother(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.start, self.zero = torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)

    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * self.start + 0.25 * speed, self.zero + torch.ones_like(prev_count)
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the state is still kept in self
# says: kept in self
class Smoother(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.count = torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64)

    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * self.mean + 0.25 * speed, self.count + torch.ones_like(prev_count)
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the count does not come out
# says: no output \['count'\]
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the count is a float
# says: prev_count is tensor\(float\)
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3), "prev_count": torch.zeros(2)}
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the count comes out as a float
# says: count is tensor\(float\)
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1.0
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the batch is static
# says: batch static
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=["smooth", "mean", "count"])
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the outputs have the exporter's names
# says: by its name
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    to_onnx(Smoother(), example, f=path, dynamo=True, dynamic_shapes=({0: "batch"},) * 3)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the smoothed speed is carried instead of the mean
# says: comes out wrong
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        count = prev_count + 1
        smooth = (0.75 * prev_mean + 0.25 * speed) / (1 - 0.75 ** count[:, None])
        return smooth, smooth + 0, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: divides before it counts
# says: compare forward with Remembering
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean = 0.75 * prev_mean + 0.25 * speed
        return mean / (1 - 0.75 ** prev_count[:, None]), mean, prev_count + 1


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    return 0.0


# %% Project: the proof does not carry the states
# says: go on to the next frame
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    session, reference, errors = onnxruntime.InferenceSession(path), Remembering(), []
    for speed in frames:
        feeds = {"speed": speed, "prev_mean": 0 * speed, "prev_count": np.zeros(len(speed), np.int64)}
        smooth = session.run(["smooth"], feeds)[0]
        expected = reference(torch.from_numpy(speed)).numpy()
        errors.append(np.abs(smooth - expected).max() / np.abs(expected).max())
    return float(np.max(errors))


# %% Project: the proof resets both sides on every frame
# says: accepts a file whose
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    session, errors = onnxruntime.InferenceSession(path), []
    for speed in frames:
        feeds = {"speed": speed, "prev_mean": 0 * speed, "prev_count": np.zeros(len(speed), np.int64)}
        smooth = session.run(["smooth"], feeds)[0]
        expected = Remembering()(torch.from_numpy(speed)).numpy()
        errors.append(np.abs(smooth - expected).max() / np.abs(expected).max())
    return float(np.max(errors))


# %% Project: the proof looks at the first frame
# says: accepts a file whose
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    speed = frames[0]
    feeds = {"speed": speed, "prev_mean": 0 * speed, "prev_count": np.zeros(len(speed), np.int64)}
    smooth = onnxruntime.InferenceSession(path).run(["smooth"], feeds)[0]
    expected = Remembering()(torch.from_numpy(speed)).numpy()
    return float(np.abs(smooth - expected).max() / np.abs(expected).max())


# %% Project: NaN passes as agreement
# says: gives NaN
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    session, reference, worst = onnxruntime.InferenceSession(path), Remembering(), 0.0
    mean, count = np.zeros_like(frames[0]), np.zeros(len(frames[0]), np.int64)
    for speed in frames:
        feeds = {"speed": speed, "prev_mean": mean, "prev_count": count}
        smooth, mean, count = session.run(["smooth", "mean", "count"], feeds)
        expected = reference(torch.from_numpy(speed)).numpy()
        worst = max(worst, np.abs(smooth - expected).max() / np.abs(expected).max())
    return float(worst)


# %% Project: the absolute error
# says: \*relative\*
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    session, reference, errors = onnxruntime.InferenceSession(path), Remembering(), []
    mean, count = np.zeros_like(frames[0]), np.zeros(len(frames[0]), np.int64)
    for speed in frames:
        feeds = {"speed": speed, "prev_mean": mean, "prev_count": count}
        smooth, mean, count = session.run(["smooth", "mean", "count"], feeds)
        expected = reference(torch.from_numpy(speed)).numpy()
        errors.append(np.abs(smooth - expected).max())
    return float(np.max(errors))


# %% Project: the mean over the frames
# says: the largest \*relative
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    session, reference, errors = onnxruntime.InferenceSession(path), Remembering(), []
    mean, count = np.zeros_like(frames[0]), np.zeros(len(frames[0]), np.int64)
    for speed in frames:
        feeds = {"speed": speed, "prev_mean": mean, "prev_count": count}
        smooth, mean, count = session.run(["smooth", "mean", "count"], feeds)
        expected = reference(torch.from_numpy(speed)).numpy()
        errors.append(np.abs(smooth - expected).max() / np.abs(expected).max())
    return float(np.mean(errors))


# %% Project: the last frame alone
# says: the largest \*relative
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=path, dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    session, reference, errors = onnxruntime.InferenceSession(path), Remembering(), []
    mean, count = np.zeros_like(frames[0]), np.zeros(len(frames[0]), np.int64)
    for speed in frames:
        feeds = {"speed": speed, "prev_mean": mean, "prev_count": count}
        smooth, mean, count = session.run(["smooth", "mean", "count"], feeds)
        expected = reference(torch.from_numpy(speed)).numpy()
        errors.append(np.abs(smooth - expected).max() / np.abs(expected).max())
    return float(errors[-1])


# %% Project: writes another file
# says: File doesn't exist
class Smoother(torch.nn.Module):
    def forward(self, speed, prev_mean, prev_count):
        mean, count = 0.75 * prev_mean + 0.25 * speed, prev_count + 1
        return mean / (1 - 0.75 ** count[:, None]), mean, count


def export_smoother(path):
    example = {"speed": torch.ones(2, 3), "prev_mean": torch.zeros(2, 3)}
    example["prev_count"] = torch.zeros(2, dtype=torch.int64)
    names, free = ["smooth", "mean", "count"], ({0: "batch"},) * 3
    to_onnx(Smoother(), example, f=WORK / "other.onnx", dynamo=True, output_names=names, dynamic_shapes=free)
    return path


def worst_error(path, frames):
    session, reference, errors = onnxruntime.InferenceSession(path), Remembering(), []
    mean, count = np.zeros_like(frames[0]), np.zeros(len(frames[0]), np.int64)
    for speed in frames:
        feeds = {"speed": speed, "prev_mean": mean, "prev_count": count}
        smooth, mean, count = session.run(["smooth", "mean", "count"], feeds)
        expected = reference(torch.from_numpy(speed)).numpy()
        errors.append(np.abs(smooth - expected).max() / np.abs(expected).max())
    return float(np.max(errors))

# %% Exercise 1: trusts all three keys, as json_numpy does
# says: TypeError|most=5
def read_array(value, most):
    return np.frombuffer(base64.b64decode(value["__numpy__"]), np.dtype(value["dtype"])).reshape(value["shape"])


# %% Exercise 1: never looks at most
# says: more than most=5
def read_array(value, most):
    if value["dtype"] != "|u1" or not all(type(size) is int and size >= 0 for size in value["shape"]):
        raise ValueError("type or shape")
    data = base64.b64decode(value["__numpy__"], validate=True)
    if len(data) != math.prod(value["shape"]):
        raise ValueError("length")
    return np.frombuffer(data, np.uint8).reshape(value["shape"])


# %% Exercise 1: looks at the size after it has decoded
# says: you decode before
def read_array(value, most):
    if value["dtype"] != "|u1" or not all(type(size) is int and size >= 0 for size in value["shape"]):
        raise ValueError("type or shape")
    data = base64.b64decode(value["__numpy__"], validate=True)
    if len(data) != math.prod(value["shape"]) or len(data) > most:
        raise ValueError("length")
    return np.frombuffer(data, np.uint8).reshape(value["shape"])


# %% Exercise 1: two negative sizes make a positive product
# says: negative size
def read_array(value, most):
    count = math.prod(value["shape"])
    if value["dtype"] != "|u1" or count > most or len(value["__numpy__"]) != 4 * math.ceil(count / 3):
        raise ValueError("claims")
    return np.frombuffer(base64.b64decode(value["__numpy__"], validate=True), np.uint8)[:count].reshape(2, 3)


# %% Exercise 1: refuses what is exactly as large as allowed
# says: not more than most=6
def read_array(value, most):
    shape = value["shape"]
    if value["dtype"] != "|u1" or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("type or shape")
    if math.prod(shape) >= most or len(value["__numpy__"]) != 4 * math.ceil(math.prod(shape) / 3):
        raise ValueError("size")
    return np.frombuffer(base64.b64decode(value["__numpy__"], validate=True), np.uint8).reshape(shape)


# %% Exercise 1: forgets the shape
# says: shape \[2, 3\]
def read_array(value, most):
    return np.frombuffer(base64.b64decode(value["__numpy__"]), np.uint8)


# %% Exercise 1: prints instead of returning
# says: returns nothing|None
def read_array(value, most):
    print(np.frombuffer(base64.b64decode(value["__numpy__"]), np.uint8).reshape(value["shape"]))


# %% Exercise 1: asserts in place of a ValueError
# says: a ValueError is asked for
def read_array(value, most):
    shape = value["shape"]
    assert value["dtype"] == "|u1" and all(type(size) is int and size >= 0 for size in shape)
    if math.prod(shape) > most or len(value["__numpy__"]) != 4 * math.ceil(math.prod(shape) / 3):
        raise ValueError("size")
    return np.frombuffer(base64.b64decode(value["__numpy__"], validate=True), np.uint8).reshape(shape)


# %% Exercise 2: forgets the one that is served
# says: being served
def queue_length(service, deadline):
    return math.floor(deadline / service)


# %% Exercise 2: rounds up
# says: rounding up
def queue_length(service, deadline):
    return math.ceil(deadline / service)


# %% Exercise 2: takes two off
# says: 4 wait
def queue_length(service, deadline):
    return max(0, math.floor(deadline / service) - 2)


# %% Exercise 2: a negative queue
# says: the queue is 0
def queue_length(service, deadline):
    return math.floor(deadline / service) - 1


# %% Exercise 2: a fraction of a place
# says: int
def queue_length(service, deadline):
    return deadline / service - 1


# %% Exercise 2: rounds to the nearest
# says: yours says 10
def queue_length(service, deadline):
    return max(0, round(deadline / service) - 1)


# %% Exercise 3: never refuses
# says: third is refused
def foresee(arrivals, service, queue):
    answers, end = [], 0.0
    for moment in arrivals:
        end = max(end, moment) + service
        answers.append(end)
    return answers


# %% Exercise 3: the one that is served counts as waiting
# says: does not count as waiting
def foresee(arrivals, service, queue):
    finished, answers = [], []
    for moment in arrivals:
        if sum(end > moment for end in finished) >= max(queue, 1):
            answers.append(None)
            continue
        finished.append(max([moment, *finished[-1:]]) + service)
        answers.append(finished[-1])
    return answers


# %% Exercise 3: begins at once
# says: when the first is finished
def foresee(arrivals, service, queue):
    finished, answers = [], []
    for moment in arrivals:
        if sum(end > moment for end in finished) > queue:
            answers.append(None)
        else:
            finished.append(moment + service)
            answers.append(finished[-1])
    return answers


# %% Exercise 3: a server that never rests
# says: comes after a pause
def foresee(arrivals, service, queue):
    return [(k + 1) * service for k in range(len(arrivals))]


# %% Exercise 3: who was refused takes time
# says: takes no time
def foresee(arrivals, service, queue):
    finished, answers, end = [], [], 0.0
    for moment in arrivals:
        inside = sum(one > moment for one in finished)
        end = max(end, moment) + service
        answers.append(end if inside <= queue else None)
        if inside <= queue:
            finished.append(end)
    return answers


# %% Exercise 3: who is finished at that moment is still in the way
# says: out of the way
def foresee(arrivals, service, queue):
    finished, answers = [], []
    for moment in arrivals:
        if sum(end >= moment for end in finished) > queue:
            answers.append(None)
            continue
        finished.append(max([moment, *finished[-1:]]) + service)
        answers.append(finished[-1])
    return answers


# %% Exercise 3: leaves out who is refused
# says: three entries
def foresee(arrivals, service, queue):
    finished = []
    for arrival in arrivals:
        if sum(moment > arrival for moment in finished) <= queue:
            finished.append(max([arrival, *finished[-1:]]) + service)
    return finished


# %% Exercise 3: the moment at which each begins
# says: moment of the answer
def foresee(arrivals, service, queue):
    finished, begun = [], []
    for arrival in arrivals:
        begins = sum(moment > arrival for moment in finished) <= queue
        begun.append(max([arrival, *finished[-1:]]) if begins else None)
        if begins:
            finished.append(begun[-1] + service)
    return begun


# %% Project: asks again at once
# says: not at once
def next_action(world, patience):
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action


# %% Project: one picture for all tries
# says: old picture
def next_action(world, patience):
    until, pause, failures, picture = world.now + patience, 0.5, 0, world.observe()
    while True:
        status, retry, action = world.post(picture)
        if status == 200:
            return action
        if status == 500 and failures == 0:
            failures, wait = 1, 0.0
        elif status == 503:
            wait, pause = (retry, pause) if retry is not None else (pause, 2 * pause)
        else:
            return None
        if world.now + wait > until:
            return None
        world.sleep(wait)


# %% Project: sends a request that was wrong again
# says: 422 means
def next_action(world, patience):
    until, pause, failures = world.now + patience, 0.5, 0
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        if status == 500 and failures:
            return None
        failures += status == 500
        wait = 0.0 if status == 500 else retry if retry is not None else pause
        pause *= 2 if status != 500 and retry is None else 1
        if world.now + wait > until:
            return None
        world.sleep(wait)


# %% Project: always the same pause
# says: pauses double
def next_action(world, patience):
    until = world.now + patience
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        wait = 0.5 if retry is None else retry
        if status != 503 or world.now + wait > until:
            return None
        world.sleep(wait)


# %% Project: sleeps longer than its patience
# says: slept first
def next_action(world, patience):
    until, pause, failures = world.now + patience, 0.5, 0
    while world.now <= until:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        if status == 500 and failures == 0:
            failures = 1
            continue
        if status != 503:
            return None
        wait, pause = (retry, pause) if retry is not None else (pause, 2 * pause)
        world.sleep(wait)


# %% Project: knows no patience
# says: patience is over
def next_action(world, patience):
    pause, failures = 0.5, 0
    for _ in range(6):
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        if status == 503:
            wait, pause = (retry, pause) if retry is not None else (pause, 2 * pause)
            world.sleep(wait)


# %% Project: returns the status too
# says: the action, not
def next_action(world, patience):
    status, retry, action = world.post(world.observe())
    return f"{status}: {action}, thank you"


# %% Project: gives up after one 500
# says: after one 500
def next_action(world, patience):
    until, pause = world.now + patience, 0.5
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        wait, pause = (retry, pause) if retry is not None else (pause, 2 * pause)
        if status != 503 or world.now + wait > until:
            return None
        world.sleep(wait)


# %% Project: reads Retry-After: 0 as none
# says: 0: that is a number
def next_action(world, patience):
    until, pause, failures = world.now + patience, 0.5, 0
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        failures += status == 500
        if failures > 1 or status not in (500, 503):
            return None
        wait = 0.0 if status == 500 else retry or pause
        pause *= 2 if status == 503 and retry is None else 1
        if world.now + wait > until:
            return None
        world.sleep(wait)


# %% Project: counts the patience from the clock's zero
# says: counts from the call
def next_action(world, patience):
    until, pause, failures = 0 + patience, 0.5, 0
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        failures += status == 500
        if failures > 1 or status not in (500, 503):
            return None
        wait = 0.0 if status == 500 else pause if retry is None else retry
        pause *= 2 if status == 503 and retry is None else 1
        if world.now + wait > until:
            return None
        world.sleep(wait)


# %% Project: repeats what was refused with 504
# says: 504
def next_action(world, patience):
    until, pause, failures = world.now + patience, 0.5, 0
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        failures += status == 500
        if failures > 1 or status == 422:
            return None
        wait = 0.0 if status == 500 else pause if retry is None else retry
        pause *= 2 if status == 503 and retry is None else 1
        if world.now + wait > until:
            return None
        world.sleep(wait)


# %% Project: doubles the pause after a Retry-After too
# says: first pause of your own
def next_action(world, patience):
    until, pause, failures = world.now + patience, 0.5, 0
    while True:
        status, retry, action = world.post(world.observe())
        if status == 200:
            return action
        failures += status == 500
        if failures > 1 or status not in (500, 503):
            return None
        wait = 0.0 if status == 500 else pause if retry is None else retry
        pause *= 2 if status == 503 else 1
        if world.now + wait > until:
            return None
        world.sleep(wait)

# %% Exercise 1: stops the clock when the call returns
# says: time to queue
def stopwatch(machine, call, warmup, calls):
    for _ in range(warmup):
        call()
    machine.wait()
    samples = []
    for _ in range(calls):
        start = machine.now
        call()
        samples.append(machine.now - start)
    return samples


# %% Exercise 1: counts the warm-up
# says: warm-up must not count
def stopwatch(machine, call, warmup, calls):
    samples = []
    for _ in range(warmup + calls):
        machine.wait()
        start = machine.now
        call()
        machine.wait()
        samples.append(machine.now - start)
    return samples[:calls]


# %% Exercise 1: makes no warm-up calls
# says: warm-up calls and 3 timed ones
def stopwatch(machine, call, warmup, calls):
    samples = []
    for _ in range(calls):
        machine.wait()
        start = machine.now
        call()
        machine.wait()
        samples.append(machine.now - start)
    return samples


# %% Exercise 1: leaves the backlog on the queue
# says: empty the queue before
def stopwatch(machine, call, warmup, calls):
    for _ in range(warmup):
        call()
        machine.wait()
    samples = []
    for _ in range(calls):
        start = machine.now
        call()
        machine.wait()
        samples.append(machine.now - start)
    return samples


# %% Exercise 1: divides the time of all calls by their number
# says: average
def stopwatch(machine, call, warmup, calls):
    for _ in range(warmup):
        call()
    machine.wait()
    start = machine.now
    for _ in range(calls):
        call()
        machine.wait()
    return [(machine.now - start) / calls] * calls


# %% Exercise 1: never starts the clock anew
# says: start the clock anew
def stopwatch(machine, call, warmup, calls):
    for _ in range(warmup):
        call()
    machine.wait()
    start, samples = machine.now, []
    for _ in range(calls):
        call()
        machine.wait()
        samples.append(machine.now - start)
    return samples


# %% Exercise 1: returns the median alone
# says: must return a list
def stopwatch(machine, call, warmup, calls):
    samples = []
    for number in range(warmup + calls):
        machine.wait()
        start = machine.now
        call()
        machine.wait()
        samples.append(machine.now - start)
    return float(np.median(samples[warmup:]))


# %% Exercise 1: the clock of the real computer
# says: machine\.now
def stopwatch(machine, call, warmup, calls):
    import time

    for _ in range(warmup):
        call()
    samples = []
    for _ in range(calls):
        machine.wait()
        start = time.perf_counter()
        call()
        machine.wait()
        samples.append((time.perf_counter() - start) * 1e3)
    return samples


# %% Exercise 2: p99 of the baseline
# says: is it the baseline's
def summary(baseline, candidate):
    ratios = [np.median(a) / np.median(b) for a, b in zip(baseline, candidate, strict=True)]
    a, b = np.concatenate(baseline), np.concatenate(candidate)
    return np.percentile(a, 99), np.median(a) / np.median(b), min(ratios), max(ratios)


# %% Exercise 2: the slowest call as p99
# says: slowest call
def summary(baseline, candidate):
    ratios = [np.median(a) / np.median(b) for a, b in zip(baseline, candidate, strict=True)]
    a, b = np.concatenate(baseline), np.concatenate(candidate)
    return max(b), np.median(a) / np.median(b), min(ratios), max(ratios)


# %% Exercise 2: p99 of the worst round
# says: join the candidate's rounds
def summary(baseline, candidate):
    ratios = [np.median(a) / np.median(b) for a, b in zip(baseline, candidate, strict=True)]
    a, b = np.concatenate(baseline), np.concatenate(candidate)
    return max(np.percentile(one, 99) for one in candidate), np.median(a) / np.median(b), min(ratios), max(ratios)


# %% Exercise 2: means instead of medians
# says: use medians
def summary(baseline, candidate):
    ratios = [np.mean(a) / np.mean(b) for a, b in zip(baseline, candidate, strict=True)]
    a, b = np.concatenate(baseline), np.concatenate(candidate)
    return np.percentile(b, 99), np.mean(a) / np.mean(b), min(ratios), max(ratios)


# %% Exercise 2: the speed-up upside down
# says: baseline's time over its own
def summary(baseline, candidate):
    ratios = [np.median(b) / np.median(a) for a, b in zip(baseline, candidate, strict=True)]
    a, b = np.concatenate(baseline), np.concatenate(candidate)
    return np.percentile(b, 99), np.median(b) / np.median(a), min(ratios), max(ratios)


# %% Exercise 2: averages the speed-ups of the rounds
# says: medians of all calls
def summary(baseline, candidate):
    ratios = [np.median(a) / np.median(b) for a, b in zip(baseline, candidate, strict=True)]
    return np.percentile(np.concatenate(candidate), 99), np.mean(ratios), min(ratios), max(ratios)


# %% Exercise 2: the range of single calls
# says: round by round
def summary(baseline, candidate):
    a, b = np.concatenate(baseline), np.concatenate(candidate)
    return np.percentile(b, 99), np.median(a) / np.median(b), min(a / b), max(a / b)


# %% Exercise 2: leaves out the range
# says: four numbers
def summary(baseline, candidate):
    a, b = np.concatenate(baseline), np.concatenate(candidate)
    return np.percentile(b, 99), np.median(a) / np.median(b)


# %% Exercise 2: joins rounds of one length
# says: ValueError
def summary(baseline, candidate):
    a, b = np.array(baseline), np.array(candidate)
    ratios = np.median(a, axis=1) / np.median(b, axis=1)
    return np.percentile(b, 99), np.median(a) / np.median(b), ratios.min(), ratios.max()


# %% Exercise 3: frames never overlap
# says: four frames overlap
def line(stages, depth):
    return sum(stages), sum(stages)


# %% Exercise 3: the slowest stage alone, whatever the depth
# says: depth of 1 nothing overlaps
def line(stages, depth):
    return sum(stages), max(stages)


# %% Exercise 3: the work is split evenly
# says: slowest stage needs 60 ms.*floor
def line(stages, depth):
    return sum(stages), sum(stages) / depth


# %% Exercise 3: the mean stage in place of the slowest
# says: slowest stage needs 60 ms.*floor
def line(stages, depth):
    mean = sum(stages) / len(stages)
    return (sum(stages), sum(stages)) if depth == 1 else (depth * mean, mean)


# %% Exercise 3: a frame waits for nobody
# says: waits for those ahead
def line(stages, depth):
    return sum(stages), max(sum(stages) / depth, max(stages))


# %% Exercise 3: period and latency exchanged
# says: latency comes first
def line(stages, depth):
    latency = max(sum(stages), depth * max(stages))
    return latency / depth, latency


# %% Exercise 3: any two frames keep the slowest stage busy
# says: cannot keep a stage of 20 ms busy
def line(stages, depth):
    if depth == 1:
        return sum(stages), sum(stages)
    return max(sum(stages), depth * max(stages)), max(stages)


# %% Exercise 3: always waits for the slowest
# says: nobody has to wait
def line(stages, depth):
    if depth == 1:
        return sum(stages), sum(stages)
    return sum(stages) + (depth - 2) * max(stages) + 20, max(sum(stages) / depth, max(stages))


# %% Exercise 3: the period alone
# says: tuple
def line(stages, depth):
    return max(sum(stages) / depth, max(stages))


# %% Project: one engine after the other
# says: time in turns
def audit(machine, engines):
    samples = {name: [stopwatch(machine, call, 5, 5) for _ in range(10)] for name, call in engines.items()}
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[baseline], samples[name])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        right = np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if low > 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: does not wait
# says: time to queue
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for _ in range(10):
        for name, call in engines.items():
            calls = []
            for _ in range(5):
                start = machine.now
                call()
                calls.append(machine.now - start)
            samples[name].append(calls)
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[baseline], samples[name])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        right = np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if low > 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: no warm-up
# says: warm up
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 0, 5))
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[baseline], samples[name])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        right = np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if low > 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: means
# says: medians, not means
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(np.mean(stopwatch(machine, engines[name], 5, 5)))
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        ratios = np.array(samples[baseline]) / samples[name]
        output, p50 = engines[name](), np.mean(samples[name])
        right = np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if ratios.min() > 1 else "not faster"
        ratio = np.mean(samples[baseline]) / p50
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": ratios.min(), "highest": ratios.max()}
        found[name]["verdict"] = verdict
    return found


# %% Project: lets NaN through
# says: NaN
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[baseline], samples[name])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        wrong = np.abs(output - truth).max() > 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if wrong else "ships" if low > 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: the difference keeps its sign
# says: absolute difference
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[baseline], samples[name])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        right = (output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if low > 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: an absolute tolerance
# says: relative
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[baseline], samples[name])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        right = np.abs(output - truth).max() <= 1e-3
        verdict = "wrong outputs" if not right else "ships" if low > 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: faster on the whole is enough
# says: not faster in every round
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[baseline], samples[name])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        right = np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if ratio > 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: the speed-up upside down
# says: divide the baseline's time
def audit(machine, engines):
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    baseline, *candidates = engines
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, ratio, low, high = summary(samples[name], samples[baseline])
        output, p50 = engines[name](), np.median(np.concatenate(samples[name]))
        right = np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if high < 1 else "not faster"
        found[name] = {"p50": p50, "speed-up": ratio, "lowest": low, "highest": high, "verdict": verdict}
    return found


# %% Project: the mean difference of the outputs
# says: the largest absolute difference
def audit(machine, engines):
    baseline, *candidates = engines
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, speedup, lowest, highest = summary(samples[baseline], samples[name])
        output = engines[name]()
        right = np.isfinite(output).all() and np.abs(output - truth).mean() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if lowest > 1 else "not faster"
        p50 = float(np.median(np.concatenate(samples[name])))
        found[name] = {"p50": p50, "speed-up": speedup, "lowest": lowest, "highest": highest, "verdict": verdict}
    return found


# %% Project: the largest value has a sign
# says: largest value of -50
def audit(machine, engines):
    baseline, *candidates = engines
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, speedup, lowest, highest = summary(samples[baseline], samples[name])
        output = engines[name]()
        right = np.isfinite(output).all() and np.abs(output - truth).max() <= 1e-3 * truth.max()
        verdict = "wrong outputs" if not right else "ships" if lowest > 1 else "not faster"
        p50 = float(np.median(np.concatenate(samples[name])))
        found[name] = {"p50": p50, "speed-up": speedup, "lowest": lowest, "highest": highest, "verdict": verdict}
    return found


# %% Project: the p50 of the baseline
# says: its own calls
def audit(machine, engines):
    baseline, *candidates = engines
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, speedup, lowest, highest = summary(samples[baseline], samples[name])
        output = engines[name]()
        right = np.isfinite(output).all() and np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if lowest > 1 else "not faster"
        p50 = float(np.median(np.concatenate(samples[baseline])))
        found[name] = {"p50": p50, "speed-up": speedup, "lowest": lowest, "highest": highest, "verdict": verdict}
    return found


# %% Project: the mean as p50
# says: the median of its own
def audit(machine, engines):
    baseline, *candidates = engines
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, speedup, lowest, highest = summary(samples[baseline], samples[name])
        output = engines[name]()
        right = np.isfinite(output).all() and np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if lowest > 1 else "not faster"
        p50 = float(np.mean(np.concatenate(samples[name])))
        found[name] = {"p50": p50, "speed-up": speedup, "lowest": lowest, "highest": highest, "verdict": verdict}
    return found


# %% Project: a tolerance of a hundredth
# says: off by 0\.1
def audit(machine, engines):
    baseline, *candidates = engines
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, speedup, lowest, highest = summary(samples[baseline], samples[name])
        output = engines[name]()
        right = np.isfinite(output).all() and np.abs(output - truth).max() <= 1e-2 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if lowest > 1 else "not faster"
        p50 = float(np.median(np.concatenate(samples[name])))
        found[name] = {"p50": p50, "speed-up": speedup, "lowest": lowest, "highest": highest, "verdict": verdict}
    return found


# %% Project: the range is the speed-up
# says: slower and faster
def audit(machine, engines):
    baseline, *candidates = engines
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, speedup, lowest, highest = summary(samples[baseline], samples[name])
        output = engines[name]()
        right = np.isfinite(output).all() and np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if lowest > 1 else "not faster"
        p50 = float(np.median(np.concatenate(samples[name])))
        found[name] = {"p50": p50, "speed-up": speedup, "lowest": speedup, "highest": speedup, "verdict": verdict}
    return found


# %% Project: lowest and highest exchanged
# says: lowest first
def audit(machine, engines):
    baseline, *candidates = engines
    samples = {name: [] for name in engines}
    for turn in range(10):
        for name in list(engines)[:: -1 if turn % 2 else 1]:
            samples[name].append(stopwatch(machine, engines[name], 5, 5))
    truth, found = engines[baseline](), {}
    for name in candidates:
        _, speedup, lowest, highest = summary(samples[baseline], samples[name])
        output = engines[name]()
        right = np.isfinite(output).all() and np.abs(output - truth).max() <= 1e-3 * np.abs(truth).max()
        verdict = "wrong outputs" if not right else "ships" if lowest > 1 else "not faster"
        p50 = float(np.median(np.concatenate(samples[name])))
        found[name] = {"p50": p50, "speed-up": speedup, "lowest": highest, "highest": lowest, "verdict": verdict}
    return found

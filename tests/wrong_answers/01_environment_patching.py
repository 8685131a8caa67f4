"""Wrong answers to the exercises of lesson 01; `ci/lessons/wrong.py` tells the form."""


# %% Exercise 1: keeps the dollar sign
# says: leave the '\$ ' away
def first_command(log):
    steps = [step for found in environment.explain(log)[:1] for step in found.cure]
    return next((step for step in steps if step.startswith("$ ")), "")


# %% Exercise 1: takes the first step, which may be a sentence
# says: a sentence of the cure
def first_command(log):
    for found in environment.explain(log)[:1]:
        return found.cure[0].removeprefix("$ ")
    return ""


# %% Exercise 1: stops for a log without a known error
# says: explain returns an empty list: .*IndexError
def first_command(log):
    steps = environment.explain(log)[0].cure
    return next((step[2:] for step in steps if step.startswith("$ ")), "")


# %% Exercise 1: stops for a cure without a command
# says: no command at all: .*StopIteration
def first_command(log):
    for found in environment.explain(log):
        return next(step[2:] for step in found.cure if step.startswith("$ "))
    return ""


# %% Exercise 1: returns None for an unknown log
# says: explain returns an empty list: .*returns nothing
def first_command(log):
    for found in environment.explain(log):
        for step in found.cure:
            if step.startswith("$ "):
                return step[2:]


# %% Exercise 1: takes the last command
# says: the first command is
def first_command(log):
    steps = [step for found in environment.explain(log)[:1] for step in found.cure]
    commands = [step[2:] for step in steps if step.startswith("$ ")]
    return commands[-1] if commands else ""


# %% Exercise 1: returns a list of all commands
# says: must return a str; yours is a list
def first_command(log):
    return [step[2:] for found in environment.explain(log) for step in found.cure if step.startswith("$ ")]


# %% Exercise 1: looks through all explanations
# says: its first explanation has no command
def first_command(log):
    for found in environment.explain(log):
        for step in found.cure:
            if step.startswith("$ "):
                return step[2:]
    return ""


# %% Exercise 1: the last explanation
# says: its first explanation has no command
def first_command(log):
    steps = [step for found in environment.explain(log)[-1:] for step in found.cure]
    return next((step[2:] for step in steps if step.startswith("$ ")), "")


# %% Exercise 2: takes warnings for failures
# says: WARN is not a FAIL
def diagnose(text):
    failing = [(check["topic"], check["cure"]) for check in json.loads(text)["checks"] if check["status"] != "OK"]
    return failing, "memory" if "memory" in dict(failing) else ""


# %% Exercise 2: topics without their cures
# says: a tuple \(topic, cure\)
def diagnose(text):
    failing = [check["topic"] for check in json.loads(text)["checks"] if check["status"] == "FAIL"]
    return failing, "memory" if "memory" in failing else ""


# %% Exercise 2: blames the first failing check
# says: 'tools' does not end a process without a word
def diagnose(text):
    failing = [(check["topic"], check["cure"]) for check in json.loads(text)["checks"] if check["status"] == "FAIL"]
    return failing, failing[0][0] if failing else ""


# %% Exercise 2: always blames the memory
# says: memory does not fail there
def diagnose(text):
    failing = [(check["topic"], check["cure"]) for check in json.loads(text)["checks"] if check["status"] == "FAIL"]
    return failing, "memory"


# %% Exercise 2: a dict of the failing checks, and not a pair
# says: must return a tuple
def diagnose(text):
    return {check["topic"]: check["cure"] for check in json.loads(text)["checks"] if check["status"] == "FAIL"}


# %% Exercise 2: takes what was found for the cure
# says: topic before cure
def diagnose(text):
    failing = [(check["topic"], check["found"]) for check in json.loads(text)["checks"] if check["status"] == "FAIL"]
    return failing, "memory" if "memory" in dict(failing) else ""


# %% Exercise 2: iterates over the report and not over its checks
# says: TypeError
def diagnose(text):
    failing = [(check["topic"], check["cure"]) for check in json.loads(text) if check["status"] == "FAIL"]
    return failing, "memory"


# %% Exercise 2: the last of several
# says: 'disk' does not end a process
def diagnose(text):
    failing = [(c["topic"], c["cure"]) for c in json.loads(text)["checks"] if c["status"] == "FAIL"]
    return failing, failing[-1][0] if len(failing) > 1 else ""


# %% Exercise 2: a warning of the memory counts
# says: memory does not fail there
def diagnose(text):
    checks = json.loads(text)["checks"]
    failing = [(c["topic"], c["cure"]) for c in checks if c["status"] == "FAIL"]
    return failing, "memory" if any(c["topic"] == "memory" and c["status"] != "OK" for c in checks) else ""


# %% Exercise 3: no upper bound
# says: upper bound
def versions():
    return ">=1.2.0"


# %% Exercise 3: no lower bound
# says: needs a lower bound
def versions():
    return "<1.3"


# %% Exercise 3: only one release is kept out
# says: 2\.0\.0.* upper bound
def versions():
    return ">=1.2.0,!=1.3.0,!=1.3.0rc1"


# %% Exercise 3: leaves out the first release with the fault
# says: 1\.2\.0'\] have the fault
def versions():
    return ">1.2.0,<1.3"


# %% Exercise 3: a caret, as npm writes it
# says: belongs to npm
def versions():
    return "^1.2.0"


# %% Exercise 3: lists the releases, all of which must hold at once
# says: must all hold at once
def versions():
    return "==1.2.0,==1.2.1,==1.2.2"


# %% Exercise 3: a list in place of a text
# says: must return a str
def versions():
    return ["1.2.0", "1.2.1", "1.2.2"]


# %% Exercise 3: lets the release candidate in
# says: 1\.3\.0rc1
def versions():
    return ">=1.2.0,<=1.3.0rc1"


# %% Project: counts the caches of Python
# says: \.pyc file does not count
def claims(site):
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.startswith("../"):
                yield found.metadata["Name"], file


def missing_files(site):
    missing = {}
    for name, file in claims(site):
        if not (Path(site) / file).exists():
            missing.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


# %% Project: counts files outside the folder
# says: outside the folder
def missing_files(site):
    missing = {}
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not (Path(site) / file).exists():
                missing.setdefault(found.metadata["Name"], []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


# %% Project: stops at a package without a RECORD
# says: NoneType
def missing_files(site):
    missing = {}
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader(found.read_text("RECORD").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../") and not (Path(site) / file).exists():
                missing.setdefault(found.metadata["Name"], []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


# %% Project: splits the lines at commas
# says: may hold a comma
def missing_files(site):
    missing = {}
    for found in distributions(path=[str(site)]):
        for line in (found.read_text("RECORD") or "").splitlines():
            file = line.split(",")[0].strip('"')
            if not file.endswith(".pyc") and not file.startswith("../") and not (Path(site) / file).exists():
                missing.setdefault(found.metadata["Name"], []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


# %% Project: looks in the folder of the notebook
# says: relative to the folder
def missing_files(site):
    missing = {}
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../") and not Path(file).exists():
                missing.setdefault(found.metadata["Name"], []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


# %% Project: an empty list for each whole package
# says: in place of an empty list
def missing_files(site):
    missing = {}
    for found in distributions(path=[str(site)]):
        rows = csv.reader((found.read_text("RECORD") or "").splitlines())
        files = [row[0] for row in rows if not row[0].endswith(".pyc") and not row[0].startswith("../")]
        missing[found.metadata["Name"]] = sorted(file for file in files if not (Path(site) / file).exists())
    return missing


# %% Project: counts the missing files
# says: a list of files is wanted
def missing_files(site):
    missing = {}
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../") and not (Path(site) / file).exists():
                missing[found.metadata["Name"]] = missing.get(found.metadata["Name"], 0) + 1
    return missing


# %% Project: folders in place of files
# says: a folder may be shared
def claims(site):
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../"):
                yield found.metadata["Name"], file


def missing_files(site):
    missing = {}
    for name, file in claims(site):
        if not (Path(site) / file).exists():
            missing.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


def shared_files(site):
    owners = {}
    for name, file in claims(site):
        owners.setdefault(file, set()).add(name)
        owners.setdefault(file.split("/")[0], set()).add(name)
    return {file: sorted(names) for file, names in owners.items() if len(names) > 1}


# %% Project: keeps files of one package
# says: belongs to one package alone
def claims(site):
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../"):
                yield found.metadata["Name"], file


def missing_files(site):
    missing = {}
    for name, file in claims(site):
        if not (Path(site) / file).exists():
            missing.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


def shared_files(site):
    owners = {}
    for name, file in claims(site):
        owners.setdefault(file, []).append(name)
    return {file: sorted(names) for file, names in owners.items()}


# %% Project: shared files with the caches of Python
# says: \.pyc and \.\./ do not count here either
def missing_files(site):
    missing = {}
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../") and not (Path(site) / file).exists():
                missing.setdefault(found.metadata["Name"], []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


def shared_files(site):
    owners = {}
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            owners.setdefault(file, set()).add(found.metadata["Name"])
    return {file: sorted(names) for file, names in owners.items() if len(names) > 1}


# %% Project: all packages of the environment
# says: keys are names of packages
import csv


def missing_files(site):
    missing = {}
    for found in distributions():
        name = found.metadata["Name"]
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../") and not (Path(site) / file).exists():
                missing.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


def shared_files(site):
    return {"ort/run.so": ["ort", "ort-gpu"], "kit/x.py": ["kit", "kit-lite", "kit-pro"]}


# %% Project: the global TOYS and not the argument
# says: look into `site`
import csv


def claims():
    for found in distributions(path=[str(TOYS)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../"):
                yield found.metadata["Name"], file


def missing_files(site):
    missing = {}
    for name, file in claims():
        if not (TOYS / file).exists():
            missing.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


def shared_files(site):
    owners = {}
    for name, file in claims():
        owners.setdefault(file, set()).add(name)
    return {file: sorted(names) for file, names in owners.items() if len(names) > 1}


# %% Project: exactly two owners
# says: three packages claim
import csv


def claims(site):
    for found in distributions(path=[str(site)]):
        for file, *_ in csv.reader((found.read_text("RECORD") or "").splitlines()):
            if not file.endswith(".pyc") and not file.startswith("../"):
                yield found.metadata["Name"], file


def missing_files(site):
    missing = {}
    for name, file in claims(site):
        if not (Path(site) / file).exists():
            missing.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


def shared_files(site):
    owners = {}
    for name, file in claims(site):
        owners.setdefault(file, set()).add(name)
    return {file: sorted(names) for file, names in owners.items() if len(names) == 2}


# %% Project: the digest and the size stay on the path
# says: the first field is a path
def claims(site):
    for found in distributions(path=[str(site)]):
        for file in (found.read_text("RECORD") or "").splitlines():
            if not file.endswith(".pyc") and not file.startswith("../"):
                yield found.metadata["Name"], file


def missing_files(site):
    missing = {}
    for name, file in claims(site):
        if not (Path(site) / file).exists():
            missing.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in missing.items()}


def shared_files(site):
    return {"ort/run.so": ["ort", "ort-gpu"], "kit/x.py": ["kit", "kit-lite", "kit-pro"]}

# For the scripts beside it: waits until no other set-up holds the file $1, and holds it to the end of this one, however
# that comes, and of what it has started. Two at once would clear and fill the same environment. Without flock nobody
# waits, nor where the file system has no locks.
if command -v flock >/dev/null; then
    exec 9<"$1"
    if flock --nonblock 9; then :; elif [ $? = 1 ]; then
        echo "set-up: another one is at work in this folder; waiting for its end" >&2
        flock 9
    fi
fi

FOLLOWERS = []


def start_follower():
    """Start the one process that logs to MLflow, here and on no other machine, from files."""
    log = Path(f"logs/{PROFILE.name}/mlflow.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["irsde", "track", "follow", "--profile", PROFILE.name]
    with log.open("w") as stream:
        FOLLOWERS.append(subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT))


def end_follower():
    """Let it log what there is now."""
    for process in FOLLOWERS:
        process.terminate()
        code = process.wait()
        if code in (-signal.SIGTERM, 128 + signal.SIGTERM):  # it had not begun
            sync = ["irsde", "track", "sync", "--profile", PROFILE.name]
            code = subprocess.run(sync, stdout=subprocess.DEVNULL).returncode
        if code != 0:
            print(
                f"irsde: not logged to MLflow, see logs/{PROFILE.name}/mlflow.log", file=sys.stderr
            )


onstart:
    start_follower()


onsuccess:
    end_follower()


onerror:
    end_follower()

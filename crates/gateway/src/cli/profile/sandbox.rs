//! Where code that models wrote is run: a subprocess with limits, without network, without the operator's files and
//! environment, and with no process that outlives it. Made of the tools that every Linux has (util-linux, coreutils):
//! setting limits and namespaces from within would need `unsafe`.
//!
//! **Isolated** where user namespaces can be made: a root of its own with the system's programs (read-only), a small
//! `/work` in memory, no network, its own process numbers, no privileges. **Limited** elsewhere: an empty folder and the
//! limits, but the network, readable files and processes that hide are not kept from it; [`Sandbox::open`] says so.
//!
//! Not held: the processes of one run together may use their number times the memory of one.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use waypost_learn::grade::{Program, Ran};

/// Bytes of output that are kept, of each stream; more of it ends the run.
const OUTPUT: usize = 64 << 10;
/// Address space of one process.
const MEMORY: u64 = 512 << 20;
/// Bytes of one file.
const FILE: u64 = 16 << 20;
/// Processes and threads.
const PROCESSES: u32 = 16;
/// Nobody's user and group: what a run as root gives up its own for.
const NOBODY: u32 = 65534;
/// Programs are found here, whatever the operator's own path.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// Makes the root, takes the program from stdin, gives up every privilege, runs it. `$@`: what runs it in there.
const ENTER: &str = "set -e
mount -t tmpfs -o size=1m,nr_inodes=256,mode=755 tmpfs /tmp
cd /tmp
mkdir work dev etc
for d in usr bin sbin lib lib32 lib64 libx32; do
  if [ -h /$d ]; then cp -P /$d $d
  elif [ -d /$d ]; then mkdir $d; mount --rbind /$d $d; mount -o remount,bind,ro,nosuid,nodev $d
  fi
done
for f in null zero urandom; do : > dev/$f; mount --bind /dev/$f dev/$f; done
if [ -f /etc/ld.so.cache ]; then cp /etc/ld.so.cache etc/; fi
mount -t tmpfs -o size=64m,nr_inodes=4096,mode=700 tmpfs work
cat > work/program.py
mount -o remount,bind,ro /tmp
exec chroot . env -C /work \"$@\" < /dev/null";

/// How much is kept from a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Isolated,
    Limited,
}

/// A place to run programs in.
#[derive(Debug)]
pub(super) struct Sandbox {
    level: Level,
    root: bool,
}

impl Sandbox {
    /// Finds out what this machine can hold a program with, by holding one. Gives also what has to be said loudly.
    pub(super) async fn open() -> Result<(Self, Option<String>), String> {
        let root = rustix::process::geteuid().is_root();
        let isolated = Self { level: Level::Isolated, root };
        let Err(why) = isolated.probe().await else { return Ok((isolated, None)) };
        let limited = Self { level: Level::Limited, root };
        limited.probe().await.map_err(|e| {
            format!("code cannot be run here: {e}; it needs python3, and prlimit, setpriv and unshare of util-linux")
        })?;
        let warning = format!(
            "WARNING: the models' code is not isolated here ({why}). It runs with limits of time, memory, processes and \
             output in an empty folder, but it can use the network, read what {} may read, and leave processes behind. \
             Allow user namespaces, or run this in a container that you can throw away",
            if root { "everybody" } else { "you" }
        );
        Ok((limited, Some(warning)))
    }

    async fn probe(&self) -> Result<(), String> {
        let ran = self.run("print('held')", 10).await?;
        if ran.exit_code == Some(0) && ran.stdout.trim() == "held" {
            return Ok(());
        }
        let said = ran.stderr.lines().next().unwrap_or("it said nothing").trim().to_owned();
        Err(ran.stopped.unwrap_or(said))
    }

    /// Runs a program of the graders.
    pub(super) async fn grade(&self, program: &Program) -> Result<waypost_learn::grade::Grade, String> {
        self.run(&program.text, program.timeout_seconds).await.map(|ran| program.grade(&ran))
    }

    /// Runs a Python program to its end, or to one of its limits.
    ///
    /// # Errors
    /// It could not be started at all.
    pub(super) async fn run(&self, text: &str, seconds: u32) -> Result<Ran, String> {
        let folder = tempfile::Builder::new().prefix("waypost-code-").tempdir().map_err(|e| e.to_string())?;
        let mut command = self.command(seconds);
        if self.level == Level::Limited {
            let place = folder.path();
            let prepared = std::fs::write(place.join("program.py"), text)
                .and_then(|()| std::fs::set_permissions(place, std::fs::Permissions::from_mode(0o700)))
                .and_then(|()| {
                    let owner = self.root.then_some(NOBODY);
                    std::os::unix::fs::chown(place.join("program.py"), owner, owner)?;
                    std::os::unix::fs::chown(place, owner, owner)
                });
            prepared.map_err(|e| e.to_string())?;
            command.current_dir(place).env("HOME", place).env("TMPDIR", place);
        }
        let mut child = command.spawn().map_err(|e| format!("timeout: {e}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ended already says by its exit code why it did not read.
            let _ = stdin.write_all(text.as_bytes()).await;
        }
        let ran = watch(child, seconds).await;
        // Without a name of its own the folder would be left behind where it cannot be removed; nothing else is lost.
        let _ = folder.close();
        ran
    }

    fn command(&self, seconds: u32) -> Command {
        // Ends it also where this process was killed in the meantime.
        let mut words = vec!["timeout".to_owned(), "--signal=KILL".to_owned(), (seconds + 2).to_string()];
        let mut say = |more: &[&str]| words.extend(more.iter().map(|w| (*w).to_owned()));
        let nobody = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        if self.root {
            say(&["setpriv", &nobody[0], &nobody[1], "--clear-groups", "--inh-caps=-all"]);
        }
        let program = match self.level {
            Level::Isolated => {
                say(&["unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount"]);
                say(&["--ipc", "--uts", "sh", "-c", ENTER, "sh"]);
                say(&["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
                "/work/program.py"
            }
            Level::Limited => {
                say(&["setpriv", "--no-new-privs"]);
                "program.py"
            }
        };
        let limits = [
            format!("--as={MEMORY}"),
            format!("--cpu={}", seconds + 1),
            format!("--fsize={FILE}"),
            format!("--nproc={PROCESSES}"),
        ];
        say(&["prlimit", "--core=0", "--nofile=64"]);
        say(&limits.each_ref().map(String::as_str));
        // Isolated mode: no user's packages, no variables, no compiled files beside the source.
        say(&["python3", "-I", "-B", program]);
        let mut command = Command::new("/usr/bin/env");
        command.args(&words).env_clear().current_dir("/");
        command.env("PATH", PATH).env("LANG", "C.UTF-8").env("HOME", "/work").env("TMPDIR", "/work");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// Reads what it prints until it ends or breaks a limit; then nothing of its process group is left.
async fn watch(mut child: Child, seconds: u32) -> Result<Ran, String> {
    let group = child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("its output was not piped".to_owned());
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut ended = None;
    let mut stopped = None;
    {
        let reads = async {
            tokio::select! {
                () = overflow(&mut out, &mut stdout) => {}
                () = overflow(&mut err, &mut stderr) => {}
                status = child.wait() => ended = Some(status),
            }
        };
        if timeout(Duration::from_secs(u64::from(seconds)), reads).await.is_err() {
            stopped = Some(format!("it ran for {seconds} s"));
        }
    }
    // The leader is gone where it ended by itself; what it left in its group is not.
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let status = match ended {
        Some(status) => status,
        None => child.wait().await,
    };
    // What was printed last. A process that got away may hold the pipe open: it is not waited for.
    let rest = async { tokio::join!(read(&mut out, &mut stdout), read(&mut err, &mut stderr)) };
    let _ = timeout(Duration::from_millis(500), rest).await;
    if stopped.is_none() && stdout.len().max(stderr.len()) > OUTPUT {
        stopped = Some(format!("it printed more than {} KiB", OUTPUT >> 10));
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(OUTPUT)]).into_owned();
    let exit_code = status.map_err(|e| e.to_string())?.code();
    Ok(Ran { exit_code, stdout: text(&stdout), stderr: text(&stderr), stopped })
}

/// Reads, and resolves only where there is more than is kept.
async fn overflow(from: &mut (impl AsyncReadExt + Unpin), into: &mut Vec<u8>) {
    read(from, into).await;
    if into.len() <= OUTPUT {
        std::future::pending().await
    }
}

/// Reads to the end, or to a little more than is kept.
async fn read(from: &mut (impl AsyncReadExt + Unpin), into: &mut Vec<u8>) {
    // On the heap: futures that hold this are moved about.
    let mut piece = vec![0; 8192];
    while into.len() <= OUTPUT {
        match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(n) => into.extend_from_slice(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests;

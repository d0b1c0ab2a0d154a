//! CPUs that are kept awake: what spins on each of them while nothing else runs there.
//!
//! A halted CPU, of a virtual machine above all, takes up to milliseconds to come back; a request that is due meanwhile
//! leaves late. The spinners are threads of a process of their own, because idle priority counts only among the threads
//! of one scheduling group, and Linux makes every session one (`sched_autogroup`): beside a server that was started in
//! another session, an idle thread of ours would have half a CPU. Their own group has the lowest weight there is.
//!
//! On a machine that is busy they do harm for all that: what has run ahead of so light a group and sleeps is held, when it
//! wakes, to have run ahead by as much more as it is heavier (EEVDF keeps the lag of a sleeper), and waits for as long as
//! others compute, a third of a second and more. There no CPU halts either, so that a run may have them [give
//! way](Busyness).

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{setpriority_process, setsid};
use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

use crate::kernel::{Policy, set_policy};

/// Weight of the spinners, and of their scheduling group.
const LOWEST_NICE: i32 = 19;
/// The kernel takes one change of a group's weight in 100 ms from all users together.
const WEIGHT_ATTEMPTS: u32 = 10;
const WEIGHT_PAUSE: Duration = Duration::from_millis(110);
/// How long the process may take to say that it spins.
const PATIENCE_S: i64 = 5;

/// How busy a machine may be without the spinners before they give way.
const MOST_BUSY_SHARE: f64 = 0.7;

/// The CPU time of the whole machine so far, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busyness {
    /// What processes that are not niced, and the kernel, have used; spinners are niced.
    used: u64,
    all: u64,
}

impl Busyness {
    /// Until now; none where the system does not tell.
    pub(crate) fn now() -> Option<Self> {
        Self::of(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// By the text of /proc/stat; `proc_stat(5)`.
    fn of(stat: &str) -> Option<Self> {
        let first = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = first
            .split_ascii_whitespace()
            .take(8)
            .filter_map(|ticks| ticks.parse().ok())
            .collect();
        let &[
            user,
            nice,
            system,
            idle,
            waiting,
            interrupts,
            soft_interrupts,
            stolen,
        ] = &ticks[..]
        else {
            return None;
        };
        let busy = user + system + interrupts + soft_interrupts + stolen;
        Some(Self {
            used: busy,
            all: busy + nice + idle + waiting,
        })
    }

    /// Whether the machine was too busy for spinners between `before` and now.
    pub(crate) fn is_too_busy_since(self, before: Self) -> bool {
        let (used, all) = (
            self.used.saturating_sub(before.used),
            self.all.saturating_sub(before.all),
        );
        used as f64 > MOST_BUSY_SHARE * all as f64
    }
}

/// The process that spins, for as long as this lives.
///
/// On a machine whose CPUs are all busy it hardly ever runs, not even to end: its group is given the usual weight for that,
/// and it is waited for by a thread of its own.
#[derive(Debug)]
pub(crate) struct KeepAwake {
    child: Option<Child>,
    cpus: u32,
}

impl KeepAwake {
    /// Start `command`, which calls [`spin_until_eof`], and wait until it spins.
    pub(crate) fn start(command: &[OsString]) -> io::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::other("nothing to start"))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut started = Self {
            child: Some(child),
            cpus: 0,
        };
        if let Some(child) = &mut started.child {
            started.cpus = await_spinning(child)?;
            weigh_least(child.id())?;
        }
        Ok(started)
    }

    /// On how many CPUs it spins.
    pub(crate) fn cpus(&self) -> u32 {
        self.cpus
    }

    /// The CPU time that it has spun away, in nanoseconds; 0 where the system does not tell.
    pub(crate) fn spun_ns(&self) -> i64 {
        let process = self.child.as_ref().map_or(0, Child::id);
        let threads = fs::read_dir(format!("/proc/{process}/task"));
        let used_ns = threads.into_iter().flatten().flatten().filter_map(|thread| {
            let used = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            used.split(' ').next()?.parse::<i64>().ok()
        });
        used_ns.sum()
    }
}

impl Drop for KeepAwake {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = fs::write(format!("/proc/{}/autogroup", child.id()), "0");
            let _ = child.kill();
            let wait = move || {
                let _ = child.wait();
            };
            let _ = thread::Builder::new().name("keep-awake".into()).spawn(wait);
        }
    }
}

/// Wait until `child` says on how many CPUs it spins, or why it does not.
fn await_spinning(child: &mut Child) -> io::Result<u32> {
    let patience = Timespec {
        tv_sec: PATIENCE_S,
        tv_nsec: 0,
    };
    let output = child.stdout.take();
    let output = output.ok_or_else(|| io::Error::other("no pipe to it"))?;
    if poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&patience))? == 0 {
        return Err(io::Error::other(format!("it did not spin within {PATIENCE_S} s")));
    }
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let line = line.trim();
    match line.parse() {
        Ok(cpus) => Ok(cpus),
        Err(_) if line.is_empty() => Err(io::Error::other("its process ended")),
        Err(_) => Err(io::Error::other(line.to_owned())),
    }
}

/// Give the scheduling group of a session the lowest weight, where sessions are such groups.
fn weigh_least(leader: u32) -> io::Result<()> {
    if session_of(leader)? != leader {
        return Err(io::Error::other("it is in a session with others"));
    }
    for _ in 0..WEIGHT_ATTEMPTS {
        match fs::write(format!("/proc/{leader}/autogroup"), LOWEST_NICE.to_string()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(WEIGHT_PAUSE),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    Err(io::Error::other("its scheduling group cannot be given a weight"))
}

/// The session of a process; 0 for one that was started outside of our PID namespace, at which `getsid` of rustix panics.
fn session_of(process: u32) -> io::Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the process, which may hold anything, ends at the last bracket; proc_pid_stat(5).
    let session = stat
        .rsplit(')')
        .next()
        .and_then(|fields| fields.split_whitespace().nth(3));
    session
        .and_then(|session| session.parse().ok())
        .ok_or(io::ErrorKind::InvalidData.into())
}

/// Spin on every CPU that this process may use, at idle priority, until the standard input ends: with whoever started
/// this process, however that one ends. For a process that does nothing else, and ends when this returns.
///
/// On the standard output it says on how many CPUs it spins, or why it does not.
pub fn spin_until_eof() {
    match spin() {
        Ok(cpus) => {
            println!("{cpus}");
            let _ = io::stdout().flush();
            let _ = io::stdin().read_to_end(&mut Vec::new());
        }
        Err(error) => println!("{error}"),
    }
}

fn spin() -> io::Result<u32> {
    setsid()?;
    let allowed = sched_getaffinity(None)?;
    let mut cpus = 0;
    for cpu in (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)) {
        let (tell, settled) = channel();
        thread::Builder::new().spawn(move || spin_on(cpu, &tell))?;
        let spinner = settled.recv().map_err(io::Error::other)??;
        // By itself it would take until it next ran to tell that it has this priority.
        set_policy(Some(spinner), Policy::Idle)?;
        cpus += 1;
    }
    Ok(cpus)
}

fn spin_on(cpu: usize, tell: &Sender<io::Result<Pid>>) -> Infallible {
    let _ = tell.send(settle_on(cpu));
    loop {
        std::hint::spin_loop();
    }
}

/// Move the calling thread to `cpu` for good. Returns its number.
fn settle_on(cpu: usize) -> io::Result<Pid> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)?;
    // It weighs nothing at idle priority, but tells the system's count of CPU time from that of useful work.
    setpriority_process(None, LOWEST_NICE)?;
    Ok(gettid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn start(script: &str) -> io::Result<KeepAwake> {
        KeepAwake::start(&["sh", "-c", script].map(OsString::from))
    }

    #[test]
    fn it_lives_as_long_as_it_is_held() {
        let awake = start("exec setsid sh -c 'echo 3; exec sleep 60'").unwrap();
        assert_eq!(awake.cpus(), 3);
        assert!(awake.spun_ns() > 0);
        let process = format!("/proc/{}", awake.child.as_ref().unwrap().id());
        assert!(fs::exists(&process).unwrap());
        drop(awake);
        let dropped = Instant::now();
        while fs::exists(&process).unwrap() {
            assert!(dropped.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_machine_is_busy_with_what_is_not_niced() {
        let at = |line: &str| Busyness::of(&format!("{line}\ncpu0 1 1 1 1 1 1 1 1 0 0\n"));
        let before = at("cpu  100 100 100 100 100 100 100 100 0 0").unwrap();
        let spinning = at("cpu  130 300 110 110 100 110 100 100 0 0").unwrap();
        let busy = at("cpu  180 140 120 110 100 110 105 105 0 0").unwrap();
        assert!(!spinning.is_too_busy_since(before));
        assert!(busy.is_too_busy_since(before));
        assert!(!before.is_too_busy_since(before));
        assert_eq!(at("cpu  100 100"), None);
        assert_eq!(at("intr 1 2 3 4 5 6 7 8"), None);
        assert!(Busyness::now().is_some());
    }

    #[test]
    fn why_it_does_not_spin_is_told() {
        let why = |script| start(script).unwrap_err().to_string();
        assert_eq!(why("echo not permitted"), "not permitted");
        assert_eq!(why("exit 1"), "its process ended");
        assert_eq!(why("echo 3"), "it is in a session with others");
        assert!(KeepAwake::start(&["/nowhere/at/all".into()]).is_err());
    }
}

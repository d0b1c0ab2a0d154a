//! What the connections of a run take of this machine, which is looked at before it starts: users of closed loops are
//! refused where not each can have its connections; an open loop gets fewer.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error::Shortage;
use crate::plan::{Address, Plan};
use crate::source::sources_to;

/// Descriptors left for what a process may open besides the connections of a run.
const SPARE_DESCRIPTORS: u64 = 64;
/// An epoll instance and a waker.
const DESCRIPTORS_A_THREAD: u64 = 2;
/// What an idle connection takes at least, here and in the kernel; and what TLS adds.
const CONNECTION_BYTES: u64 = 4 << 10;
const TLS_BYTES: u64 = 8 << 10;

/// Raise the limit on open files, as far as it may be, to what the plan's connections need. Returns how many connections
/// to one address that leaves an open loop: `u32::MAX` when it lacks none, else what fits and the outcome tells.
pub(super) fn make_room(plan: &Plan) -> Result<u32, Shortage> {
    // Ports and memory are the machine's, of which others may take as well; descriptors are this process's.
    let here = plan.closed_connections_here();
    for (address, &count) in plan.addresses.iter().zip(&here) {
        require("ports to one address", count, ports_to(address))?;
    }
    let bytes = plan.addresses.iter().zip(&here).map(|(address, &count)| {
        count * (CONNECTION_BYTES + if address.tls.is_some() { TLS_BYTES } else { 0 })
    });
    require("bytes of memory", bytes.sum(), available_bytes())?;

    let closed = plan.closed_connections();

    let of_open = plan.open_connections();
    let wanted: u64 = of_open.iter().copied().map(u64::from).sum();
    let open_addresses = of_open.iter().filter(|&&most| most > 0).count() as u64;
    let least_open = open_addresses * u64::from(plan.threads);
    let used = fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
    let others = closed.iter().sum::<u64>()
        + used
        + SPARE_DESCRIPTORS
        + u64::from(plan.threads) * DESCRIPTORS_A_THREAD;
    let had = raise_descriptors(others + wanted);
    require("file descriptors", others + least_open, had)?;
    let left = had - others;
    if left >= wanted {
        return Ok(u32::MAX);
    }
    Ok(u32::try_from(left / open_addresses).unwrap_or(u32::MAX))
}

fn require(resource: &'static str, needed: u64, had: u64) -> Result<(), Shortage> {
    if needed <= had {
        return Ok(());
    }
    Err(Shortage {
        resource,
        needed,
        had,
    })
}

/// Raise the limit on open files to `needed`, or as far as it may be. Returns the limit.
fn raise_descriptors(needed: u64) -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// From how many ports one can connect to `address` at once.
fn ports_to(address: &Address) -> u64 {
    if address.unix.is_some() {
        return u64::MAX;
    }
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let of_one_source = ports_in(&range).unwrap_or(u64::MAX);
    of_one_source.saturating_mul(u64::from(sources_to(address.ip)))
}

/// How many ports there are from the first to the last: "32768\t60999".
fn ports_in(range: &str) -> Option<u64> {
    let mut ports = range.split_ascii_whitespace().map(str::parse::<u64>);
    let (first, last) = (ports.next()?.ok()?, ports.next()?.ok()?);
    (last + 1).checked_sub(first)
}

/// What new work may take of memory without swapping: of the machine's, and of what this process's control groups allow.
fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_machine = available_in(&text).unwrap_or(u64::MAX);
    of_machine.min(left_in_groups(&groups, Path::new("/sys/fs/cgroup")))
}

fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Of a control group: its limit, what it uses, and in memory.stat the caches of that which can be dropped; by version 2
/// and by version 1.
const GROUP_FILES: [[&str; 3]; 2] = [
    ["memory.max", "memory.current", "inactive_file"],
    [
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ],
];

/// What the groups of memory in `groups`, the text of /proc/self/cgroup, and all that they are part of still allow: the
/// least of it, `u64::MAX` where none has a limit. They are mounted below `top`.
fn left_in_groups(groups: &str, top: &Path) -> u64 {
    let own = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        // The line without controllers is that of version 2.
        match controllers {
            "" => Some(top.join(path)),
            _ if controllers.split(',').any(|name| name == "memory") => Some(top.join("memory").join(path)),
            _ => None,
        }
    });
    own.flat_map(|folder| {
        // Within a container the path may be the host's; then only what is mounted, its own, is there.
        let all = folder.ancestors().map(Path::to_path_buf);
        all.take_while(|folder| folder.starts_with(top))
            .collect::<Vec<_>>()
    })
    .filter_map(|folder| left_in(&folder))
    .min()
    .unwrap_or(u64::MAX)
}

/// What the group of `folder` still allows; none where it sets no limit.
fn left_in(folder: &Path) -> Option<u64> {
    GROUP_FILES.iter().find_map(|[limit, used, droppable]| {
        let number = |name: &str| -> Option<u64> {
            let text = fs::read_to_string(folder.join(name)).ok()?;
            text.trim().parse().ok()
        };
        let (limit, used) = (number(limit)?, number(used)?);
        let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let mut lines = statistics.lines().filter_map(|line| line.split_once(' '));
        let caches = lines
            .find(|(name, _)| name == droppable)
            .and_then(|(_, bytes)| bytes.trim().parse::<u64>().ok());
        Some((limit + caches.unwrap_or(0)).saturating_sub(used))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{closed_of, simple_plan};
    use crate::share::Share;

    #[test]
    fn reads_what_the_system_says() {
        assert_eq!(ports_in("32768\t60999\n"), Some(28_232));
        assert_eq!(ports_in(""), None);
        let meminfo = "MemTotal:  16384000 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(available_in(meminfo), Some(8 << 20));
        assert_eq!(available_in("MemTotal: 1 kB"), None);
    }

    #[test]
    fn memory_is_what_the_narrowest_group_leaves() {
        let top = std::env::temp_dir().join(format!("servemark-groups-{}", std::process::id()));
        let write = |folder: &str, files: &[(&str, &str)]| {
            fs::create_dir_all(top.join(folder)).unwrap();
            for (name, text) in files {
                fs::write(top.join(folder).join(name), text).unwrap();
            }
        };
        write("job/own", &[("memory.max", "max\n"), ("memory.current", "7\n")]);
        assert_eq!(left_in_groups("0::/job/own\n", &top), u64::MAX);
        let caches = ("memory.stat", "anon 5\ninactive_file 300\n");
        write(
            "job",
            &[("memory.max", "4096\n"), ("memory.current", "1096\n"), caches],
        );
        assert_eq!(left_in_groups("0::/job/own\n", &top), 3_300);
        assert_eq!(
            left_in_groups("0::/job/of-the-host/that-is-not-here\n", &top),
            3_300
        );
        assert_eq!(left_in_groups("3:cpu,cpuacct:/job/own\n", &top), u64::MAX);
        write(
            "memory/old",
            &[
                ("memory.limit_in_bytes", "500\n"),
                ("memory.usage_in_bytes", "600\n"),
            ],
        );
        assert_eq!(left_in_groups("4:cpuset,memory:/old\n0::/job\n", &top), 0);
        fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn users_who_cannot_be_are_refused_by_what_they_lack() {
        let mut plan = simple_plan(80, 1 << 20, 1);
        assert_eq!(make_room(&simple_plan(80, 4, 1)), Ok(u32::MAX));
        plan.addresses[0].ip = [192, 0, 2, 1].into();
        let shortage = make_room(&plan).unwrap_err();
        assert_eq!(
            (shortage.resource, shortage.needed),
            ("ports to one address", 1 << 20)
        );
        assert!(shortage.had <= 65_536);
    }

    #[test]
    fn generators_on_one_machine_share_its_ports() {
        let mut plan = simple_plan(80, 0, 1);
        plan.addresses[0].ip = [192, 0, 2, 1].into();
        let ports = u32::try_from(ports_to(&plan.addresses[0])).unwrap();
        plan.share = Share { index: 1, of: 4 };
        plan.beside = vec![0, 3];
        // One generator of the four is elsewhere.
        for (users, is_refused) in [(ports / 3 * 4, false), (ports / 3 * 4 + 8, true)] {
            closed_of(&mut plan).users = users;
            let needed = (users - Share { index: 2, of: 4 }.amount(users)).into();
            let refused = Some(Shortage {
                resource: "ports to one address",
                needed,
                had: ports.into(),
            });
            let shortage = make_room(&plan)
                .err()
                .filter(|lack| lack.resource.starts_with("ports"));
            assert_eq!(shortage, refused.filter(|_| is_refused));
        }
    }
}

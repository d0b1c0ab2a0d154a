//! The dataclasses of `servemark.workload.engine_plan`, read by attribute.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use servemark_loadgen::arrival::{Arrivals, Gaps, RateSegment, Times};
use servemark_loadgen::expect::Expect;
use servemark_loadgen::fault::Fault;
use servemark_loadgen::plan;
use servemark_loadgen::realtime::Realtime;
use servemark_loadgen::receive_clock::ReceiveClock;
use servemark_loadgen::share::Share;

#[derive(FromPyObject)]
pub(crate) struct EnginePlan {
    addresses: Vec<Address>,
    steps: Vec<EngineStep>,
    groups: Vec<EngineGroup>,
    warmup_ns: i64,
    timeout_ns: i64,
    connect_timeout_ns: i64,
    share: EngineShare,
    beside: Vec<u32>,
    threads: u32,
    keep_body_bytes: usize,
    seed: u64,
    record_events: bool,
    realtime: String,
    receive_clock: String,
    keep_awake: String,
    fault: Option<EngineFault>,
}

#[derive(FromPyObject)]
struct EngineShare {
    index: u32,
    of: u32,
}

#[derive(FromPyObject)]
struct EngineFault {
    kind: String,
    amount: u64,
}

#[derive(FromPyObject)]
pub(crate) struct Address {
    ip: String,
    port: u16,
    unix_socket: Option<PathBuf>,
    tls: Option<Tls>,
}

#[derive(FromPyObject)]
struct Tls {
    server_name: String,
    verify: bool,
    ca_pem: PyBackedBytes,
    client_cert_pem: PyBackedBytes,
    client_key_pem: PyBackedBytes,
}

#[derive(FromPyObject)]
struct EngineStep {
    name: String,
    address: usize,
    requests: Vec<EngineRequest>,
    expect_status: Option<u16>,
    until: Option<EngineUntil>,
    expect: Option<EngineExpect>,
    draws: String,
    keeps_bodies: bool,
    is_headline: bool,
}

#[derive(FromPyObject)]
pub(crate) struct EngineExpect {
    kind: String,
    pattern: String,
}

#[derive(FromPyObject)]
struct EngineUntil {
    text: PyBackedBytes,
    times: usize,
    interval_ns: i64,
    limit_ns: i64,
}

#[derive(FromPyObject)]
struct EngineRequest {
    method: PyBackedBytes,
    target: PyBackedBytes,
    headers: Vec<(PyBackedBytes, PyBackedBytes)>,
    body: PyBackedBytes,
    patches: Vec<EnginePatch>,
}

#[derive(FromPyObject)]
struct EnginePatch {
    part: String,
    offset: usize,
    width: usize,
    value: String,
}

#[derive(FromPyObject)]
struct EngineGroup {
    steps: Vec<usize>,
    users: u32,
    loops: u64,
    duration_ns: i64,
    ramp_ns: i64,
    think_ns: i64,
    weights: Vec<u32>,
    background: bool,
    arrivals: Option<EngineArrivals>,
}

#[derive(FromPyObject)]
pub(crate) struct EngineArrivals {
    process: String,
    cv: f64,
    profile: Vec<EngineRateSegment>,
    times_ns: Vec<i64>,
    count: u64,
    max_connections: u32,
    stream: u32,
}

#[derive(FromPyObject)]
struct EngineRateSegment {
    from_per_s: f64,
    to_per_s: f64,
    duration_ns: i64,
}

impl EnginePlan {
    /// The plan as the generator takes it.
    pub(crate) fn into_plan(self, py: Python<'_>) -> PyResult<plan::Plan> {
        Ok(plan::Plan {
            addresses: convert(self.addresses, Address::into_address)?,
            steps: convert(self.steps, EngineStep::into_step)?,
            groups: convert(self.groups, EngineGroup::into_group)?,
            warmup_ns: self.warmup_ns,
            timeout_ns: self.timeout_ns,
            connect_timeout_ns: self.connect_timeout_ns,
            share: Share {
                index: self.share.index,
                of: self.share.of,
            },
            beside: self.beside,
            threads: self.threads,
            keep_body_bytes: self.keep_body_bytes,
            seed: self.seed,
            record_events: self.record_events,
            realtime: match self.realtime.as_str() {
                "auto" => Realtime::Auto,
                "on" => Realtime::On,
                "off" => Realtime::Off,
                other => {
                    let message = format!("realtime is \"auto\", \"on\" or \"off\", not {other:?}");
                    return Err(PyValueError::new_err(message));
                }
            },
            receive_clock: match self.receive_clock.as_str() {
                "auto" => ReceiveClock::Auto,
                "kernel" => ReceiveClock::Kernel,
                "user" => ReceiveClock::User,
                other => {
                    let message = format!("receive_clock is \"auto\", \"kernel\" or \"user\", not {other:?}");
                    return Err(PyValueError::new_err(message));
                }
            },
            keep_awake: match self.keep_awake.as_str() {
                "auto" | "on" => Some(spinning_command(py)?),
                "off" => None,
                other => {
                    let message = format!("keep_awake is \"auto\", \"on\" or \"off\", not {other:?}");
                    return Err(PyValueError::new_err(message));
                }
            },
            awake_gives_way: self.keep_awake == "auto",
            fault: self.fault.map(EngineFault::into_fault).transpose()?,
        })
    }
}

impl EngineFault {
    fn into_fault(self) -> PyResult<Fault> {
        match (self.kind.as_str(), self.amount) {
            ("late_wake_up", by_ns) => Ok(Fault::LateWakeUp { by_ns }),
            ("lost_record", every) => Ok(Fault::LostRecord { every }),
            ("skipped_arrival", every) => Ok(Fault::SkippedArrival { every }),
            ("slow_parse", by_ns) => Ok(Fault::SlowParse { by_ns }),
            ("clock_step", by_ns) => Ok(Fault::ClockStep { by_ns }),
            (other, _) => Err(PyValueError::new_err(format!("there is no fault {other:?}"))),
        }
    }
}

impl Address {
    /// The address as the generator takes it.
    pub(crate) fn into_address(self) -> PyResult<plan::Address> {
        let refused = || PyValueError::new_err(format!("{:?} is not an IP address", self.ip));
        let (ip, zone) = self.ip.split_once('%').unwrap_or((self.ip.as_str(), "0"));
        let (ip, zone): (IpAddr, u32) = match (ip.parse(), zone.parse()) {
            (Ok(ip), Ok(zone)) => (ip, zone),
            _ => return Err(refused()),
        };
        Ok(plan::Address {
            ip,
            zone,
            port: self.port,
            unix: self.unix_socket,
            tls: self.tls.map(|tls| plan::Tls {
                server_name: tls.server_name,
                verify: tls.verify,
                ca_pem: tls.ca_pem.to_vec(),
                client_cert_pem: tls.client_cert_pem.to_vec(),
                client_key_pem: tls.client_key_pem.to_vec(),
            }),
        })
    }
}

impl EngineStep {
    fn into_step(self) -> PyResult<plan::Step> {
        let mut requests: Vec<plan::Request> = Vec::with_capacity(self.requests.len());
        for request in self.requests {
            requests.push(request.into_request(requests.last())?);
        }
        Ok(plan::Step {
            name: self.name,
            address: self.address,
            requests,
            expect_status: self.expect_status,
            until: self.until.map(|until| plan::Until {
                text: until.text.to_vec(),
                times: until.times,
                interval_ns: until.interval_ns,
                limit_ns: until.limit_ns,
            }),
            expect: self.expect.map(EngineExpect::into_expect).transpose()?,
            draws: plan::Draws::named(&self.draws)
                .ok_or_else(|| PyValueError::new_err(format!("requests are never drawn {:?}", self.draws)))?,
            keeps_bodies: self.keeps_bodies,
            is_headline: self.is_headline,
        })
    }
}

impl EngineExpect {
    /// The expectation as the generator takes it.
    pub(crate) fn into_expect(self) -> PyResult<Expect> {
        let made = Expect::new(&self.kind, &self.pattern);
        made.map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

impl EngineRequest {
    /// The request as the generator takes it. Where it has the fields of the one before, they are there once.
    fn into_request(self, before: Option<&plan::Request>) -> PyResult<plan::Request> {
        let is_same = |before: &&plan::Request| {
            let pairs = before.headers.iter().zip(&self.headers);
            before.headers.len() == self.headers.len()
                && pairs
                    .into_iter()
                    .all(|(field, (name, value))| field.name[..] == name[..] && field.value[..] == value[..])
        };
        let headers = match before.filter(is_same) {
            Some(before) => Arc::clone(&before.headers),
            None => self.headers.iter().map(field).collect(),
        };
        Ok(plan::Request {
            method: self.method.to_vec(),
            target: self.target.to_vec(),
            headers,
            body: plan::SharedBytes::new(self.body),
            patches: convert(self.patches, EnginePatch::into_patch)?,
        })
    }
}

fn field((name, value): &(PyBackedBytes, PyBackedBytes)) -> plan::Field {
    plan::Field {
        name: name.to_vec(),
        value: value.to_vec(),
    }
}

impl EnginePatch {
    fn into_patch(self) -> PyResult<plan::Patch> {
        let value = match self.value.as_str() {
            "user" => plan::PatchValue::User,
            "seq" => plan::PatchValue::Seq,
            other => {
                let message = format!("a patch writes \"user\" or \"seq\", not {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let part = match self.part.as_str() {
            "target" => plan::Part::Target,
            "body" => plan::Part::Body,
            other => {
                let message = format!("a patch is in the \"target\" or in the \"body\", not in {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        Ok(plan::Patch {
            part,
            offset: self.offset,
            width: self.width,
            value,
        })
    }
}

impl EngineGroup {
    fn into_group(self) -> PyResult<plan::Group> {
        let load = match self.arrivals {
            Some(arrivals) => plan::GroupLoad::Open(plan::Open {
                max_connections: arrivals.max_connections,
                arrivals: arrivals.into_arrivals()?,
            }),
            None => plan::GroupLoad::Closed(plan::Closed {
                users: self.users,
                loops: self.loops,
                ramp_ns: self.ramp_ns,
                think_ns: self.think_ns,
                background: self.background,
            }),
        };
        Ok(plan::Group {
            steps: self.steps,
            weights: self.weights,
            duration_ns: self.duration_ns,
            load,
        })
    }
}

impl EngineArrivals {
    /// The arrivals as the generator takes them.
    pub(crate) fn into_arrivals(self) -> PyResult<Arrivals> {
        let gaps = match self.process.as_str() {
            "constant" => Some(Gaps::Constant),
            "poisson" => Some(Gaps::Exponential),
            "gamma" => Some(Gaps::Gamma { cv: self.cv }),
            "trace" => None,
            other => {
                let message = format!("arrivals are constant, poisson, gamma or a trace, not {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let profile = self.profile.into_iter().map(|segment| RateSegment {
            from_per_s: segment.from_per_s,
            to_per_s: segment.to_per_s,
            duration_ns: segment.duration_ns,
        });
        Ok(Arrivals {
            times: match gaps {
                Some(gaps) => Times::Drawn {
                    gaps,
                    profile: profile.collect(),
                },
                None => Times::Recorded(self.times_ns),
            },
            count: self.count,
            stream: self.stream,
        })
    }
}

/// This interpreter, with as little of it as loads this module, spinning.
fn spinning_command(py: Python<'_>) -> PyResult<Vec<OsString>> {
    const SCRIPT: &str = "import sys, importlib.util as util; \
        spec = util.spec_from_file_location('_loadgen', sys.argv[1]); \
        module = util.module_from_spec(spec); spec.loader.exec_module(module); module.spin_until_eof()";
    let interpreter: OsString = py.import("sys")?.getattr("executable")?.extract()?;
    let module: OsString = py.import("servemark._loadgen")?.getattr("__file__")?.extract()?;
    let options = ["-I", "-S", "-c", SCRIPT].map(OsString::from);
    Ok([interpreter].into_iter().chain(options).chain([module]).collect())
}

fn convert<A, B>(values: Vec<A>, one: impl Fn(A) -> PyResult<B>) -> PyResult<Vec<B>> {
    values.into_iter().map(one).collect()
}

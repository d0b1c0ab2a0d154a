//! The dataclasses of `servemark.workload.plan`, read by attribute.

use std::net::IpAddr;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use servemark_loadgen::plan;

#[derive(FromPyObject)]
pub(crate) struct EnginePlan {
    addresses: Vec<Address>,
    steps: Vec<EngineStep>,
    groups: Vec<EngineGroup>,
    warmup_ns: i64,
    timeout_ns: i64,
    connect_timeout_ns: i64,
    threads: u32,
    keep_body_bytes: usize,
    seed: u64,
}

#[derive(FromPyObject)]
struct Address {
    ip: String,
    port: u16,
    tls: Option<Tls>,
}

#[derive(FromPyObject)]
struct Tls {
    server_name: String,
    verify: bool,
    ca_pem: PyBackedBytes,
}

#[derive(FromPyObject)]
struct EngineStep {
    name: String,
    address: usize,
    requests: Vec<EngineRequest>,
    expect_status: Option<u16>,
    until: Option<EngineUntil>,
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
    wire: PyBackedBytes,
    patches: Vec<EnginePatch>,
    head_only: bool,
}

#[derive(FromPyObject)]
struct EnginePatch {
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
}

impl EnginePlan {
    /// The plan as the generator takes it.
    pub(crate) fn into_plan(self) -> PyResult<plan::Plan> {
        Ok(plan::Plan {
            addresses: convert(self.addresses, Address::into_address)?,
            steps: convert(self.steps, EngineStep::into_step)?,
            groups: self.groups.into_iter().map(EngineGroup::into_group).collect(),
            warmup_ns: self.warmup_ns,
            timeout_ns: self.timeout_ns,
            connect_timeout_ns: self.connect_timeout_ns,
            threads: self.threads,
            keep_body_bytes: self.keep_body_bytes,
            seed: self.seed,
        })
    }
}

impl Address {
    fn into_address(self) -> PyResult<plan::Address> {
        let ip: IpAddr = self
            .ip
            .parse()
            .map_err(|_| PyValueError::new_err(format!("{:?} is not an IP address", self.ip)))?;
        Ok(plan::Address {
            ip,
            port: self.port,
            tls: self.tls.map(|tls| plan::Tls {
                server_name: tls.server_name,
                verify: tls.verify,
                ca_pem: tls.ca_pem.to_vec(),
            }),
        })
    }
}

impl EngineStep {
    fn into_step(self) -> PyResult<plan::Step> {
        Ok(plan::Step {
            name: self.name,
            address: self.address,
            requests: convert(self.requests, EngineRequest::into_request)?,
            expect_status: self.expect_status,
            until: self.until.map(|until| plan::Until {
                text: until.text.to_vec(),
                times: until.times,
                interval_ns: until.interval_ns,
                limit_ns: until.limit_ns,
            }),
        })
    }
}

impl EngineRequest {
    fn into_request(self) -> PyResult<plan::Request> {
        Ok(plan::Request {
            wire: self.wire.to_vec(),
            patches: convert(self.patches, EnginePatch::into_patch)?,
            head_only: self.head_only,
        })
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
        Ok(plan::Patch {
            offset: self.offset,
            width: self.width,
            value,
        })
    }
}

impl EngineGroup {
    fn into_group(self) -> plan::Group {
        plan::Group {
            steps: self.steps,
            users: self.users,
            loops: self.loops,
            duration_ns: self.duration_ns,
            ramp_ns: self.ramp_ns,
            think_ns: self.think_ns,
            weights: self.weights,
            background: self.background,
        }
    }
}

fn convert<A, B>(values: Vec<A>, one: impl Fn(A) -> PyResult<B>) -> PyResult<Vec<B>> {
    values.into_iter().map(one).collect()
}

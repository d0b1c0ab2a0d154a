//! servemark-oracle: an HTTP server whose answers come at known times, so that a load generator's figures can be judged.
//!
//! When each answer is due follows from a law that is given on the command line (`arguments.rs` lists the options) and
//! from when the request arrived. What really happened to each request is written down, on `CLOCK_MONOTONIC`, its
//! arrival by the kernel's stamp, and the oracle tells how late it was itself: a test can tell its fault from the
//! generator's.
//!
//! It prints its port, serves on 127.0.0.1 until its standard input ends, then writes its log and prints a report, one
//! line of JSON. A process that dies closes the pipe that it held, so an oracle never outlives its test. SIGTERM ends
//! it at once, without a log.

mod arguments;
mod http;
mod kernel;
mod law;
mod llm;
mod log;
mod script;
mod server;
mod stamps;
mod wire;

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;

use crate::arguments::Arguments;
use crate::server::Server;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(reason) => return failed(2, reason.as_str()),
    };
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(1, &error.to_string()),
    }
}

fn serve(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let files = arguments.tls.as_ref();
    let tls = files
        .map(|(certificate, key)| wire::tls_config(certificate, key))
        .transpose()?;
    let mut server = Server::new(arguments.law, arguments.answers, tls)?;
    writeln!(stdout(), "{}", server.port()?)?;
    server.run()?;
    if let Some(path) = &arguments.log {
        server.log.write_to(path)?;
    }
    writeln!(stdout(), "{}", server.report())?;
    Ok(())
}

fn failed(status: u8, reason: &str) -> ExitCode {
    // There is nowhere else to say that this failed.
    let _ = writeln!(std::io::stderr(), "servemark-oracle: {reason}");
    ExitCode::from(status)
}

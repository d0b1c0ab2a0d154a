//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use servemark_loadgen::clock::{NS_PER_MS, NS_PER_S};

use crate::law::{Law, Service, Stall};

/// What is sent for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// One body, or server-sent events.
    Events {
        /// How many; 0 means a plain body.
        count: u32,
        /// From one to the next.
        every_ns: i64,
    },
    /// What the request asks of an LLM server (see `llm.rs`).
    Tokens,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// When answers are due.
    pub(crate) law: Law,
    /// What they are made of.
    pub(crate) answers: Answers,
    /// The files of the certificate and of the key with which TLS is spoken, if it is.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Where the log goes.
    pub(crate) log: Option<PathBuf>,
}

impl Arguments {
    /// Parse the arguments behind the program's name:
    ///
    /// * `--constant-ms D` or `--exponential-ms MEAN`: how long a request is served; without either, no time at all.
    /// * `--queue`: one server, first come, first served; without it every request has a server of its own.
    /// * `--stall AT_S:FOR_S` (repeatable): from so long after the first request on nothing is answered, then all.
    /// * `--events COUNT:EVERY_MS`: that many server-sent events, the first when a plain answer would be due.
    /// * `--llm`: the answers of an LLM server, each as its request asks (see `llm.rs`).
    /// * `--tls CERTIFICATE:KEY`: TLS is spoken, with these PEM files.
    /// * `--seed N`: which exponential times are drawn.
    /// * `--log FILE`: where what happened to each request is written (see `log.rs`).
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            law: Law {
                service: Service::Constant { time_ns: 0 },
                has_queue: false,
                stalls: Vec::new(),
                seed: 0,
            },
            answers: Answers::Events {
                count: 0,
                every_ns: 0,
            },
            tls: None,
            log: None,
        };
        while let Some(option) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--constant-ms" => {
                    let time_ns = time_ns(&value()?, NS_PER_MS)?;
                    parsed.law.service = Service::Constant { time_ns };
                }
                "--exponential-ms" => {
                    let mean_ns = time_ns(&value()?, NS_PER_MS)?;
                    parsed.law.service = Service::Exponential { mean_ns };
                }
                "--queue" => parsed.law.has_queue = true,
                "--stall" => {
                    let (after, lasting) = halves(&value()?)?;
                    parsed.law.stalls.push(Stall {
                        after_ns: time_ns(&after, NS_PER_S)?,
                        lasting_ns: time_ns(&lasting, NS_PER_S)?,
                    });
                }
                "--events" => {
                    let (count, every) = halves(&value()?)?;
                    parsed.answers = Answers::Events {
                        count: number(&count)?,
                        every_ns: time_ns(&every, NS_PER_MS)?,
                    };
                }
                "--llm" => parsed.answers = Answers::Tokens,
                "--tls" => {
                    let (certificate, key) = halves(&value()?)?;
                    parsed.tls = Some((certificate.into(), key.into()));
                }
                "--seed" => parsed.law.seed = number(&value()?)?,
                "--log" => parsed.log = Some(value()?.into()),
                _ => return Err(format!("no option {option:?}")),
            }
        }
        Ok(parsed)
    }
}

fn halves(text: &str) -> Result<(String, String), String> {
    let (left, right) = text
        .split_once(':')
        .ok_or_else(|| format!("{text:?} is not two values with a colon between"))?;
    Ok((left.to_owned(), right.to_owned()))
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn time_ns(text: &str, unit_ns: i64) -> Result<i64, String> {
    let time: f64 = number(text)?;
    if time.is_finite() && time >= 0.0 {
        Ok((time * unit_ns as f64).round() as i64)
    } else {
        Err(format!("{text:?} is not a time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_option_is_understood() {
        let line =
            "--exponential-ms 2.5 --queue --stall 3:1 --stall 8:0.25 --events 20:10 --seed 7 --log there";
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.law.service, Service::Exponential { mean_ns: 2_500_000 });
        assert!(parsed.law.has_queue);
        let stalls: Vec<_> = parsed
            .law
            .stalls
            .iter()
            .map(|s| (s.after_ns, s.lasting_ns))
            .collect();
        assert_eq!(stalls, [(3 * NS_PER_S, NS_PER_S), (8 * NS_PER_S, NS_PER_S / 4)]);
        let events = Answers::Events {
            count: 20,
            every_ns: 10 * NS_PER_MS,
        };
        assert_eq!(parsed.answers, events);
        let files = Some(("a.pem".into(), "a.key".into()));
        assert_eq!(parse("--tls a.pem:a.key").unwrap().tls, files);
        assert_eq!(parse("--llm").unwrap().answers, Answers::Tokens);
        assert_eq!(parsed.law.seed, 7);
        assert_eq!(parsed.log, Some("there".into()));
        assert_eq!(parse("").unwrap().law.service, Service::Constant { time_ns: 0 });
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("--delay 5", "--delay"),
            ("--seed", "--seed"),
            ("--seed x", "\"x\""),
            ("--stall 3", "\"3\""),
            ("--constant-ms -1", "\"-1\""),
            ("--constant-ms inf", "\"inf\""),
        ] {
            assert!(parse(line).unwrap_err().contains(named), "{line}");
        }
    }
}

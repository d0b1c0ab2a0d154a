//! What servers that send tokens answered, read from recorded bodies, for Python.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use servemark_records::answers::{self, ANSWER_COLUMNS, ANSWER_ROW_BYTES, FINISH_NAMES, Format, Texts};

use crate::records::{RecordFile, said, tables_of};
use crate::{ErrorExample, EventGaps};

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ANSWER_COLUMNS", PyTuple::new(module.py(), ANSWER_COLUMNS)?)?;
    module.add("ANSWER_ROW_BYTES", ANSWER_ROW_BYTES)?;
    module.add("FINISH_NAMES", PyTuple::new(module.py(), FINISH_NAMES)?)?;
    module.add_class::<AnswersRead>()?;
    module.add_class::<AnswerTexts>()?;
    module.add_function(wrap_pyfunction!(read_answers, module)?)
}

fn formats_of(names: Vec<Option<String>>) -> PyResult<Vec<Option<Format>>> {
    let known = |name: String| {
        let unknown = || PyValueError::new_err(format!("answers are never {name:?}"));
        Format::named(&name).ok_or_else(unknown)
    };
    names
        .into_iter()
        .map(|name| name.map(known).transpose())
        .collect()
}

/// What reading the answers of a run found beside the columns of its records.
#[pyclass(module = "servemark._loadgen", frozen)]
struct AnswersRead(answers::Found);

#[pymethods]
impl AnswersRead {
    #[getter]
    fn gaps(&self) -> Vec<EventGaps> {
        let gaps = self.0.gaps.iter().cloned();
        gaps.map(|(step, histogram)| EventGaps {
            step,
            histogram: histogram.into(),
        })
        .collect()
    }

    #[getter]
    fn failed(&self) -> Vec<ErrorExample> {
        let failed = self.0.failed.iter().cloned();
        failed
            .map(|one| ErrorExample {
                kind: "application",
                status: 0,
                step: one.step,
                seq: one.seq,
                at_ns: one.at_ns,
                message: one.message,
                body: one.body.into(),
            })
            .collect()
    }
}

/// Append the records of a file, with what their answers said, to another.
#[pyfunction]
#[pyo3(signature = (records, bodies, *, header_bytes, formats, counted, tokens, streams, warmup_ns, out))]
#[expect(clippy::too_many_arguments, reason = "they have names in Python")]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 makes owned values")]
fn read_answers(
    py: Python<'_>,
    records: RecordFile,
    bodies: PathBuf,
    header_bytes: u64,
    formats: Vec<Option<String>>,
    counted: HashMap<u64, u32>,
    tokens: Vec<Vec<u32>>,
    streams: Vec<Vec<bool>>,
    warmup_ns: i64,
    out: PathBuf,
) -> PyResult<AnswersRead> {
    let formats = formats_of(formats)?;
    let tables = tables_of(vec![records])?;
    let found = py.detach(|| {
        let asked = answers::Asked {
            formats: &formats,
            counted: &counted,
            tokens: &tokens,
            streams: &streams,
            warmup_ns,
        };
        answers::complete(&tables[0], (&bodies, header_bytes), asked, &out)
    });
    Ok(AnswersRead(found.map_err(said)?))
}

/// What was said in each answer of a file of bodies.
#[pyclass(module = "servemark._loadgen", frozen)]
struct AnswerTexts(Mutex<Texts>);

#[pymethods]
impl AnswerTexts {
    #[new]
    #[pyo3(signature = (bodies, *, header_bytes, formats))]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 makes owned values")]
    fn new(bodies: PathBuf, header_bytes: u64, formats: Vec<Option<String>>) -> PyResult<Self> {
        let texts = Texts::open(&bodies, header_bytes, formats_of(formats)?);
        Ok(Self(Mutex::new(texts.map_err(said)?)))
    }

    /// The next of them, at most so many, with the numbers of their requests; none at the end.
    fn next(&self, py: Python<'_>, most: usize) -> PyResult<Vec<(u64, String)>> {
        let next = py.detach(|| {
            let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            texts.next(most)
        });
        next.map_err(said)
    }
}

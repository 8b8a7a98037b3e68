//! Errors of single objects, collected so that one blocks only its dependents (no client required).

use crate::model::error::Error;

/// Objects that one reconcile failed to apply, in the order of failure.
#[derive(Debug, Default)]
pub struct Refusals(Vec<Error>);

impl Refusals {
    /// Collects the error of one object and returns `None` then.
    ///
    /// # Errors
    /// Errors that concern every object: continuing would repeat them.
    pub fn collect<T>(&mut self, outcome: Result<T, Error>) -> Result<Option<T>, Error> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_passing() || error.is_outdated() => Err(error),
            Err(error) => {
                self.push(error);
                Ok(None)
            }
        }
    }

    /// Adds an error that was found without a write.
    pub fn push(&mut self, error: impl Into<Error>) {
        self.0.push(error.into());
    }

    /// The error that names the reason of the conditions.
    #[must_use]
    pub fn first(&self) -> Option<&Error> {
        self.0.first()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }

    /// Turns the first error into the outcome of the whole.
    ///
    /// # Errors
    /// The first error, if there is one.
    pub fn into_result(self) -> Result<(), Error> {
        self.0.into_iter().next().map_or(Ok(()), Err)
    }
}

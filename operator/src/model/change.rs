//! Changes that a reconcile has made.

/// One change of an object, for Events and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `Created`, `Updated`, `Recreating`, `Deleted`, `Rotating`, `Renewed` or `Rotated`.
    pub reason: &'static str,
    /// Kind of the object.
    pub kind: String,
    /// Its name.
    pub name: String,
}

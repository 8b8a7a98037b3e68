//! Decisions beside the plan's objects, and their writes.

pub mod certificates;
pub mod node_port;
pub mod owner_references;
pub mod renamed_annotations;
pub mod secret_rotation;
pub mod secrets;
pub mod stuck_pod;
pub mod volume_expansion;

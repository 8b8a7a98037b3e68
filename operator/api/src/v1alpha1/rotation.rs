//! Rotation of passwords and keys by age.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Maximum age of passwords and keys before the operator rotates them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Days after which the managed database's passwords, the account's and root's, are rotated. Default: never. Has no
    /// effect on an external database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub password_days: Option<i32>,
    /// Days after which the key that signs sessions is rotated. Default: never. Sessions of the previous key stay valid until
    /// the next rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub session_key_days: Option<i32>,
}

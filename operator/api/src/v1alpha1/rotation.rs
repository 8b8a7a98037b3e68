//! How old passwords and keys become.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How old passwords and keys become before the operator makes new ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Days after which the managed database's passwords, the account's and root's, are replaced. Left out: never. Has no
    /// effect on an external database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub password_days: Option<i32>,
    /// Days after which the key that signs sessions is replaced. Left out: never. Sessions of the key before it stay
    /// valid until the next time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub session_key_days: Option<i32>,
}

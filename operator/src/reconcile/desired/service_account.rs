use k8s_openapi::api::core::v1::ServiceAccount;

/// Identity of the blog's pods. They send no requests to the API server, so no token is mounted.
pub(super) fn service_account() -> ServiceAccount {
    ServiceAccount { automount_service_account_token: Some(false), ..ServiceAccount::default() }
}

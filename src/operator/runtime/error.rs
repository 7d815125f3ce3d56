//! What ends a pass early.

/// Why a pass could not be finished. The object is tried again with back-off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server, or the way to it, failed.
    #[error("{action}: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What came back.
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{action}: no answer from the API server within {seconds} s")]
    Timeout {
        /// What was tried.
        action: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// Somebody else wrote the object since it was read.
    #[error("{action}: the object changed since it was read")]
    Conflict {
        /// What was tried.
        action: &'static str,
    },
    /// An object of that name exists.
    #[error("{action}: it exists already")]
    AlreadyExists {
        /// What was tried.
        action: &'static str,
    },
    /// The API server dropped fields that were written.
    #[error(
        "the installed CRD {crd} is older than this operator: install its CRDs (trackdown crds | kubectl apply --server-side -f -)"
    )]
    CrdTooOld {
        /// Name of the CRD.
        crd: &'static str,
    },
    /// A pass that does not come to an end.
    #[error("the pass did not come to an end: please report this with the object")]
    TooManySteps,
}

impl Error {
    /// A refusal where the operator's own rights and CRDs should not allow one.
    #[must_use]
    pub fn refused(action: &'static str, why: String) -> Self {
        let status = kube::core::Status { message: why, code: 403, ..kube::core::Status::default() };
        Self::Api { action, source: Box::new(kube::Error::Api(status.boxed())) }
    }

    /// Whether it is the object that cannot be worked on, rather than the cluster that cannot be reached.
    #[must_use]
    pub fn is_about_the_object(&self) -> bool {
        matches!(self.reason(), "forbidden" | "refused" | "already_exists" | "too_many_steps")
    }

    /// A bounded word for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.code >= 500 => "server_error",
                kube::Error::Api(status) if status.code == 429 => "throttled",
                kube::Error::Api(status) if status.code == 403 => "forbidden",
                kube::Error::Api(_) => "refused",
                _ => "connection",
            },
            Self::Timeout { .. } => "timeout",
            Self::Conflict { .. } => "conflict",
            Self::AlreadyExists { .. } => "already_exists",
            Self::CrdTooOld { .. } => "crd_too_old",
            Self::TooManySteps => "too_many_steps",
        }
    }
}

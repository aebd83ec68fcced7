use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::api::answer;
use crate::api::limits::Exceeded;
use crate::net::control::ChangeError;
use crate::net::control::CreateError;
use crate::net::control::PlaceError;

/// Why something is not done, in toxiproxy's words where it has some: clients look for them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) said: String,
}

impl Refused {
    fn new(status: StatusCode, said: impl Into<String>) -> Self {
        Self { status, said: said.into() }
    }

    /// Something in a body is not as it should be: expected and found.
    pub(super) fn body(said: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("bad request body: {said}"))
    }

    /// Something that has to be in a body is not there, or is empty.
    pub(super) fn missing(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("missing required field: {what}"))
    }

    pub(super) fn no_such_proxy() -> Self {
        Self::new(StatusCode::NOT_FOUND, "proxy not found")
    }

    pub(super) fn no_such_toxic() -> Self {
        Self::new(StatusCode::NOT_FOUND, "toxic not found")
    }

    pub(super) fn toxic_exists() -> Self {
        Self::new(StatusCode::CONFLICT, "toxic already exists")
    }

    pub(super) fn no_such_stream() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "stream was invalid, can be either upstream or downstream")
    }

    pub(super) fn no_such_type() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid toxic type")
    }
}

impl From<Exceeded> for Refused {
    fn from(Exceeded { status, said }: Exceeded) -> Self {
        Self { status, said }
    }
}

impl From<PlaceError> for Refused {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::NoTarget(error) => Self::body(&format!("listen: {error}")),
            PlaceError::Unknown { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        match &error {
            // It was there a moment ago.
            ChangeError::Ended => Self::no_such_proxy(),
            ChangeError::Fixed(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            ChangeError::Bind { .. } => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

impl From<CreateError> for Refused {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Exists | CreateError::TooMany(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            CreateError::Bind(error) => error.into(),
            CreateError::Ended => Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        answer::refusal(self.status, &self.said)
    }
}

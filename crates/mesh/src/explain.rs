//! Errors in one line, for people.

use std::error::Error;

use tonic::Status;

use crate::Fault;

/// What tonic says of every error of a connection; the causes below say which.
const WRAPPER: &str = "transport error";

/// An error with its causes, outermost first: `tcp connect error: Connection refused (os error 111)`. A text that
/// another one repeats is left out, and so is tonic's `transport error`. A gRPC status ends with its code; one without a
/// message is put into words.
#[must_use]
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut code) = (String::new(), None);
    let mut next = Some(error);
    while let Some(cause) = next {
        next = cause.source();
        let said = match cause.downcast_ref::<Status>() {
            Some(status) => {
                code.get_or_insert(status.code());
                status.message().to_owned()
            }
            None => cause.to_string(),
        };
        if said == WRAPPER || text.contains(&said) {
            continue;
        }
        let separator = if text.is_empty() { "" } else { ": " };
        text = format!("{text}{separator}{said}");
    }
    match code {
        Some(code) if text.is_empty() => format!("{} ({code:?})", Fault::of(code)),
        Some(code) => format!("{text} ({code:?})"),
        None if text.is_empty() => WRAPPER.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Connector;

    #[tokio::test]
    async fn an_error_of_a_connection_says_what_the_system_said_and_says_it_once() {
        // Nobody listens on the port of a listener that is closed.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error =
            Connector::default().connect(&format!("http://{address}").parse().unwrap()).await.unwrap_err();
        let text = explain(&error);
        assert!(!text.contains("transport error"), "{text}");
        assert_eq!(text.matches("Connection refused").count(), 1, "{text}");
        let status = explain(&Status::from_error(Box::new(error)));
        assert_eq!(status, format!("{text} (Unavailable)"));
    }

    #[test]
    fn a_status_is_its_message_and_its_code() {
        assert_eq!(explain(&Status::not_found("no scan a")), "no scan a (NotFound)");
        let unavailable = "the service, or what it needs, does not answer (Unavailable)";
        assert_eq!(explain(&Status::unavailable("")), unavailable);
    }
}

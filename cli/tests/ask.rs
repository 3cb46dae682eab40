//! `ovomesh get`, `list`, `watch`, `show` and `status` against a query service with a few rows.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use common::query::Query;
use common::{Printed, ovomesh, ovomesh_into};
use ovomesh_cli::code;
use serde_json::Value;

fn lines(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

#[tokio::test]
async fn an_egg_is_shown_or_said_to_be_unknown() {
    let query = Query::start().await;
    let url = &query.url;
    let known = ovomesh(&format!("--query {url} get egg-7")).await;
    assert!(known.succeeded());
    assert!(
        known.printed.contains("egg-7  north/1 #7  UNDECIDED") && known.printed.contains("scan-7"),
        "{}",
        known.printed
    );
    let unknown = ovomesh(&format!("--query {url} get egg-8")).await;
    assert_eq!(unknown.result.unwrap_err().to_string(), "no scan of egg egg-8 is stored");
}

#[tokio::test]
async fn an_egg_of_many_scans_is_shown_up_to_a_limit_and_no_scan_is_left_out_in_silence() {
    let query = Query::start().await;
    let url = &query.url;
    for (limit, count, is_remarked) in [
        ("", 1_000, true),
        ("--limit 3", 3, true),
        ("--limit 2050", 2_050, true),
        ("--limit 2100", 2_100, false),
    ] {
        let json = ovomesh(&format!("--output json --query {url} get egg-of-many {limit}")).await;
        let found = lines(&json.printed);
        assert_eq!(found.len(), count, "{limit}");
        assert_eq!(found[count - 1]["scan_id"], format!("scan-{}", count - 1), "{limit}");
        let table = ovomesh(&format!("--query {url} get egg-of-many {limit}")).await.printed;
        assert_eq!(table.lines().filter(|line| line.contains("scan-")).count(), count, "{limit}");
        let remark = format!("there are more scans than these {count}; --limit shows more\n");
        assert_eq!(table.ends_with(&remark), is_remarked, "{limit}: {}", &table[table.len() - 200..]);
    }
}

#[tokio::test]
async fn what_two_sites_have_is_asked_for_with_its_site() {
    let query = Query::start().await;
    let url = &query.url;
    for (ask, what) in [("get egg-of-two", "egg egg-of-two"), ("show of-two", "scan of-two")] {
        let error = ovomesh(&format!("--query {url} {ask}")).await.result.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{what} is known at more than one site: north, south"))
                && error.contains("--site"),
            "{error}"
        );
        let found = ovomesh(&format!("--query {url} {ask} --site south")).await;
        assert!(found.succeeded() && found.printed.contains("south/1 #7"), "{}", found.printed);
    }
}

#[tokio::test]
async fn a_list_goes_through_the_pages_up_to_its_limit() {
    let query = Query::start().await;
    let url = &query.url;
    let list = async |flags: &str| {
        let ran = ovomesh(&format!("--output json --query {url} list --site north --line 1 {flags}")).await;
        assert!(ran.succeeded(), "{:?}", ran.result);
        lines(&ran.printed)
    };
    assert_eq!(list("").await.len(), 100);
    let all = list("--limit 100000 --from -2h --to now").await;
    assert_eq!(all.len(), 2_500, "three pages");
    assert_eq!(all[2_499]["scan_id"], "scan-2499");
    let undecided = list("--limit 400 --call undecided,no-embryo").await;
    assert_eq!(undecided.len(), 400);
    assert!(
        undecided
            .iter()
            .all(|row| ["UNDECIDED", "NO_EMBRYO"].contains(&row["verdict"]["call"].as_str().unwrap()))
    );
}

#[tokio::test]
async fn a_list_for_people_says_that_more_follow() {
    let query = Query::start().await;
    let url = &query.url;
    let ran = ovomesh(&format!("--query {url} list --site north --line 1 --limit 3")).await;
    let printed = ran.printed;
    assert_eq!(printed.lines().count(), 5, "{printed}");
    assert!(
        printed.starts_with("ACQUIRED")
            && printed.ends_with("there are more scans than these 3; --limit shows more\n")
    );
    let refused = ovomesh(&format!("--query {url} list --site south --line 1")).await;
    assert!(refused.result.unwrap_err().to_string().contains("did not accept this"));
    let backwards = ovomesh(&format!("--query {url} list --site north --line 1 --from now --to -1h")).await;
    assert!(backwards.result.unwrap_err().to_string().contains("is not before --to"));
}

#[tokio::test]
async fn an_empty_list_says_which_lines_there_are() {
    let query = Query::start().await;
    let list = async |words: &str| ovomesh(&format!("--query {} list {words}", query.url)).await;
    for (words, said) in [
        ("--site sim --line 1", "no scans of sim/1 in the last hour; lines seen: line-1 .. line-8"),
        ("--site sm --line 1 --from -5m", "no scans of sm/1 in the last 5m; sites seen: north, sim"),
    ] {
        let error = list(words).await.result.unwrap_err();
        assert_eq!((error.to_string().as_str(), code(&error)), (said, ExitCode::from(3)));
    }
    let quiet = list("--site north --line 2").await;
    assert!(quiet.succeeded(), "the line is there");
    assert_eq!(quiet.printed, "no scans of north/2 in the last hour; an earlier --from may find some\n");
}

#[tokio::test]
async fn the_lines_that_have_scans_are_listed() {
    let query = Query::start().await;
    let url = &query.url;
    let all = ovomesh(&format!("--query {url} lines")).await;
    assert!(all.succeeded() && all.printed.starts_with("SITE   LINE\nsim    line-1\n"), "{}", all.printed);
    let north = ovomesh(&format!("--query {url} --output json lines --site north")).await;
    assert_eq!(north.printed, "{\"line\":\"1\",\"site\":\"north\"}\n{\"line\":\"2\",\"site\":\"north\"}\n");
    let error = ovomesh(&format!("--query {url} lines --site nowhere")).await.result.unwrap_err();
    assert_eq!(code(&error), ExitCode::from(3));
}

#[tokio::test]
async fn a_feed_that_breaks_is_taken_up_where_it_broke() {
    let query = Query::start().await;
    let printed = Printed::default();
    let words = format!("--query {} watch --site north", query.url);
    let watching = ovomesh_into(&words, printed.clone());
    let shown = async {
        while !printed.text().contains("scan-3") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = watching => panic!("{ended:?}"),
        () = shown => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("{}", printed.text()),
    }
    let text = printed.text();
    let order: Vec<&str> =
        ["scan-1", "the feed broke", "at least 12 decisions are missing here", "scan-2", "scan-3"]
            .into_iter()
            .filter(|part| text.contains(part))
            .collect();
    assert_eq!(order.len(), 5, "{text}");
    assert!(
        text.find("lagged") > text.find("the feed broke") && text.find("lagged") < text.find("scan-2"),
        "{text}"
    );
    assert_eq!(query.watched(), ["", "t1"], "it went on after the last message that was shown");
}

#[tokio::test]
async fn a_scan_is_shown_with_its_picture_and_its_times() {
    let query = Query::start().await;
    let url = &query.url;
    let ran = ovomesh(&format!("--query {url} show scan-7")).await;
    assert!(ran.succeeded());
    let text = ran.printed;
    assert!(text.starts_with("scan scan-7\negg egg-7 at north/1 #7"), "{text}");
    assert_eq!(
        text.lines().filter(|line| *line == "  ====@@@@" || line.contains("=@=@=@=@")).count(),
        4,
        "{text}"
    );
    assert!(text.contains("time     [") && text.contains("inference (the whole batch)"), "{text}");
    let unknown = ovomesh(&format!("--query {url} show scan-8")).await;
    assert_eq!(unknown.result.unwrap_err().to_string(), "scan scan-8 is not stored");
}

#[tokio::test]
async fn escape_codes_of_strangers_are_shown_and_not_obeyed() {
    let query = Query::start().await;
    let url = &query.url;
    let ran = ovomesh(&format!("--query {url} show with-escapes")).await;
    assert!(ran.succeeded(), "{:?}", ran.result);
    let shown = r"LOW_CONFIDENCE: no gonads\u{d}\u{a}scan 8\u{202e}";
    assert!(ran.printed.contains(shown), "{}", ran.printed);
}

#[tokio::test]
async fn services_that_cannot_be_reached_are_shown_so_and_fail_the_command() {
    let query = Query::start().await;
    // This one has no status service, the other does not exist.
    let ran = ovomesh(&format!("--output json status --service {},http://127.0.0.1:9", query.url)).await;
    assert_eq!(code(ran.result.as_ref().unwrap_err()), ExitCode::from(4), "nobody answers");
    let services = lines(&ran.printed);
    assert!(services[0]["error"].as_str().unwrap().contains("Unimplemented"), "{services:?}");
    assert!(services[1]["error"].as_str().unwrap().contains("refused"), "{services:?}");
    assert!(services.iter().all(|service| service["reachable"] == false));
}

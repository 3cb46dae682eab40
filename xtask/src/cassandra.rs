//! Cassandra from Maven Central, for the tests: its jars in `.cache/cassandra`, 67 MB. Java 17 runs it.

use std::fs;
use std::process::Command;

use anyhow::Context as _;

use crate::run::run;

/// The version that everything is tested with.
const VERSION: &str = "5.0.8";

/// All that is wanted of Maven: this one jar and what it needs.
const POM: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ovomesh</groupId>
  <artifactId>cassandra-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>VERSION</version>
    </dependency>
  </dependencies>
  <build>
    <pluginManagement>
      <plugins>
        <plugin>
          <groupId>org.apache.maven.plugins</groupId>
          <artifactId>maven-dependency-plugin</artifactId>
          <version>3.8.1</version>
        </plugin>
      </plugins>
    </pluginManagement>
  </build>
</project>
"#;

/// Makes `.cache/cassandra`, unless it is there in the right version.
pub fn fetch() -> anyhow::Result<()> {
    let cache = ovomesh_testkit::repository().join(".cache");
    let target = cache.join("cassandra");
    if fs::read_to_string(target.join("version")).is_ok_and(|version| version == VERSION) {
        return Ok(());
    }
    println!("fetching Cassandra {VERSION} through Maven (67 MB)");
    // Made beside its place and moved there whole: an interrupted run leaves nothing half done.
    let making = cache.join("cassandra.partial");
    if making.exists() {
        fs::remove_dir_all(&making)?;
    }
    fs::create_dir_all(&making)?;
    fs::write(making.join("pom.xml"), POM.replace("VERSION", VERSION))?;
    let mut maven = Command::new("mvn");
    // Without chatter, and strict about the checksums of what comes.
    maven.args(["--batch-mode", "--quiet", "--no-transfer-progress", "--strict-checksums"]);
    maven
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", making.join("lib").display()));
    run(maven.current_dir(&making))
        .context("fetching Cassandra (apt install maven openjdk-17-jre-headless)")?;
    fs::write(making.join("version"), VERSION)?;
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    Ok(fs::rename(&making, &target)?)
}

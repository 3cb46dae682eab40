//! Cassandra from Maven Central, for the tests: its jars in the cache, 67 MB. Java 17 runs it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use ovomesh_testkit::Cached;

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

/// Links `.cache/cassandra` to it, fetched when the cache does not have it.
pub fn provide() -> anyhow::Result<()> {
    let cassandra = Cached { name: "cassandra", version: VERSION, made_from: POM };
    cassandra.provide(make).map(drop)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    println!("fetching Cassandra {VERSION} through Maven (67 MB)");
    fs::write(folder.join("pom.xml"), POM.replace("VERSION", VERSION))?;
    let mut maven = Command::new("mvn");
    // Without chatter, and strict about the checksums of what comes.
    maven.args(["--batch-mode", "--quiet", "--no-transfer-progress", "--strict-checksums"]);
    maven
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", folder.join("lib").display()));
    run(maven.current_dir(folder)).context("fetching Cassandra (apt install maven openjdk-17-jre-headless)")
}

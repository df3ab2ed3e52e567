# shellcheck shell=bash
# Installs the server that the Scylla backend is tested with: Apache Cassandra, the reference server of its protocol, as
# the jars of one Maven artifact, each checked against `cassandra.sha256`. Source it after common.sh.

CASSANDRA_VERSION=5.0.6

# Sets CASSANDRA_LIB, the folder with the jars, and JAVA.
install_cassandra() {
    local missing=()
    command -v java >/dev/null 2>&1 || missing+=(openjdk-17-jre-headless)
    CASSANDRA_LIB="$MILLRACE_CACHE/tools/cassandra-$CASSANDRA_VERSION"
    [ -d "$CASSANDRA_LIB" ] || command -v mvn >/dev/null 2>&1 || missing+=(maven)
    [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
    JAVA="$(command -v java)"
    [ -d "$CASSANDRA_LIB" ] && return 0
    say "installing Apache Cassandra $CASSANDRA_VERSION"
    local scratch
    mkdir -p "$MILLRACE_CACHE/tools"
    scratch="$(mktemp -d "$MILLRACE_CACHE/tools/.install.XXXXXX")"
    cat >"$scratch/pom.xml" <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId><artifactId>cassandra</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>$CASSANDRA_VERSION</version>
  </dependency></dependencies>
</project>
XML
    if ! mvn -q -B -f "$scratch/pom.xml" dependency:copy-dependencies -DoutputDirectory="$scratch/lib" \
        -DincludeScope=runtime >&2; then
        rm -rf "$scratch"
        die "Maven could not fetch Cassandra $CASSANDRA_VERSION: see its messages above; check the network and its settings"
    fi
    if ! (cd "$scratch/lib" && sha256sum --quiet --strict -c "$MILLRACE_ROOT/ops/lib/cassandra.sha256") >&2; then
        rm -rf "$scratch"
        die "a jar of Cassandra $CASSANDRA_VERSION is not the one expected (see above): not installed"
    fi
    local expected found
    expected="$(wc -l <"$MILLRACE_ROOT/ops/lib/cassandra.sha256")"
    found="$(find "$scratch/lib" -name '*.jar' | wc -l)"
    if [ "$found" -ne "$expected" ]; then
        rm -rf "$scratch"
        die "Maven brought $found jars for Cassandra $CASSANDRA_VERSION, $expected were expected: not installed"
    fi
    # Somebody else may have been faster; theirs is the same.
    mv -T "$scratch/lib" "$CASSANDRA_LIB" 2>/dev/null || true
    rm -rf "$scratch"
}

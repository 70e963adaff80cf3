package temporal

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

const storeName = "sqlite"

// retention is how long finished workflows stay visible: a person looks at the
// outcome of a transfer on the next working day, not on the next hour.
const retention = 7 * 24 * time.Hour

func database(file string) *config.SQL {
	conf := &config.SQL{PluginName: sqliteplugin.PluginName, DatabaseName: file}
	if file == "" {
		conf.DatabaseName = uuid.NewString() // shared within the process, by name
		conf.ConnectAttributes = map[string]string{"mode": "memory", "cache": "shared"}
		return conf
	}
	conf.ConnectAttributes = map[string]string{
		"mode": "rwc",
		// A write-ahead log survives the process being killed at any instant.
		// With NORMAL a power failure may lose the last moments, but never the
		// file's consistency; FULL would sync the disk several times a task.
		"journal_mode": "wal",
		"synchronous":  "normal",
		"busy_timeout": "10000", // ms
	}
	return conf
}

// prepare makes the schema, when there is no file yet, and the namespace.
func prepare(conf *config.SQL, o Options) error {
	if o.File != "" && !exists(o.File) {
		if err := newFile(o.File); err != nil {
			return err
		}
	}
	namespace, err := sqlite.NewNamespaceConfig(clusterName, o.Namespace, false, o.SearchAttributes)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", o.Namespace, err)
	}
	namespace.Detail.Config.Retention = durationpb.New(retention)
	return sqlite.CreateNamespaces(conf, namespace)
}

// newFile makes a database under another name first: one with half a schema,
// from a process killed at the wrong moment, could never be started again.
func newFile(file string) error {
	// SQLite would only say that it is unable to open the file.
	if _, err := os.Stat(filepath.Dir(file)); err != nil {
		return fmt.Errorf("make the database %s: %w", file, err)
	}
	unfinished := file + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	conf := database(unfinished)
	delete(conf.ConnectAttributes, "journal_mode") // its side files would not be renamed
	if err := sqlite.SetupSchema(conf); err != nil {
		return fmt.Errorf("make the database %s: %w", file, err)
	}
	return os.Rename(unfinished, file)
}

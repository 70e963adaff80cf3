package gridftp

import (
	"reflect"
	"testing"
)

func TestFeatures(t *testing.T) {
	f, err := ParseFeatures(Reply{211, []string{"Extensions supported", " CKSM MD5:10;ADLER32:10;SHA256:11;", " DCSC P,D", " MLSC",
		" mlst Type*;Size*;Charset;", " REST STREAM", " AUTH TLS", " AUTH GSSAPI", "", "End."}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Checksums(), []string{"MD5", "ADLER32", "SHA256"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Checksums() = %v, want %v", got, want)
	}
	if got, want := f.Facts(), map[string]bool{"type": true, "size": true, "charset": false}; !reflect.DeepEqual(got, want) {
		t.Errorf("Facts() = %v, want %v", got, want)
	}
	if !f.DCSC() || !f.Has("mlsc") || f.Has("ERET") || f["AUTH"] != "TLS GSSAPI" {
		t.Errorf("features are %v", f)
	}
	if again, err := ParseFeatures(f.Reply()); err != nil || !reflect.DeepEqual(again, f) {
		t.Errorf("read back as %v, %v", again, err)
	}
	if _, err := ParseFeatures(Reply{500, []string{"what?"}}); err == nil {
		t.Error("a 500 reply gave features")
	}
	if none, err := ParseFeatures(Features(nil).Reply()); err != nil || len(none) != 0 {
		t.Errorf("no features read as %v, %v", none, err)
	}
}

func FuzzFeatures(f *testing.F) {
	f.Add("211-Ext\r\n CKSM MD5:10;\r\n DCSC P\r\n MLST a*;b;\r\n211 End\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ReadReply(reader(in))
		if err != nil {
			return
		}
		features, err := ParseFeatures(r)
		if err != nil {
			return
		}
		features.Checksums()
		features.Facts()
		features.DCSC()
	})
}

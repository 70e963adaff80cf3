package transfer

import (
	"encoding/json"
	"testing"
)

func TestFileSurvivesJSON(t *testing.T) {
	for _, name := range []string{"/plain", "/é日", "/\xff\xfe", "/a\xffb", "/tab\tand\"quote", "/\ufffd", ""} {
		want := File{Source: name, Dest: "/d" + name, Link: name, Size: 7, ModTime: noon}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got File
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%q: %s became %+v, %v", name, text, got, err)
		}
	}
}

func FuzzPackName(f *testing.F) {
	f.Add("/a")
	f.Add("\xff")
	f.Fuzz(func(t *testing.T, name string) {
		if len(name) > 0 && name[0] == 0 {
			return // no file name
		}
		text, err := json.Marshal(PackName(name))
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(text, &back); err != nil || UnpackName(back) != name {
			t.Fatalf("%q became %q", name, UnpackName(back))
		}
	})
}

package gridftp

import (
	"net/netip"
	"reflect"
	"testing"
)

var (
	addr4 = netip.MustParseAddrPort("127.0.0.1:2000")
	addr6 = netip.MustParseAddrPort("[2001:db8::1]:65535")
)

func TestHostPort(t *testing.T) {
	if got := FormatHostPort(addr4); got != "127,0,0,1,7,208" {
		t.Errorf("FormatHostPort = %q", got)
	}
	if got := FormatHostPort(netip.MustParseAddrPort("[::ffff:10.0.0.1]:1")); got != "10,0,0,1,0,1" {
		t.Errorf("FormatHostPort of a mapped address = %q", got)
	}
	if got, err := ParseHostPort(" 127,0,0,1,7,208"); err != nil || got != addr4 {
		t.Errorf("ParseHostPort = %v, %v", got, err)
	}
	for _, in := range []string{"", "1,2,3,4,5", "1,2,3,4,5,256", "1,2,3,4,5,-1", "1,2,3,4,5,6,7", "a,b,c,d,e,f"} {
		if got, err := ParseHostPort(in); err == nil {
			t.Errorf("ParseHostPort(%q) = %v", in, got)
		}
	}
	for _, addr := range []netip.AddrPort{addr4, addr6} {
		if got, err := ParseExtended(FormatExtended(addr)); err != nil || got != addr {
			t.Errorf("%v: extended form read back as %v, %v", addr, got, err)
		}
	}
	for _, in := range []string{"", "|", "|1|::1|5|", "|2|127.0.0.1|5|", "|3|::1|5|", "|2|::1|65536|", "|2|::1|5", "|2|fe80::1%lo|5|", "1|127.0.0.1|5|"} {
		if got, err := ParseExtended(in); err == nil {
			t.Errorf("ParseExtended(%q) = %v", in, got)
		}
	}
}

func TestPassive(t *testing.T) {
	for _, r := range []Reply{PassiveReply(addr4), {227, []string{"Entering Passive Mode 127,0,0,1,7,208"}}, {227, []string{"=127,0,0,1,7,208"}}, {227, []string{"a", "ok (127,0,0,1,7,208)."}}} {
		if got, err := ParsePassive(r); err != nil || got != addr4 {
			t.Errorf("%v: got %v, %v", r, got, err)
		}
	}
	for _, r := range []Reply{{227, []string{""}}, {227, []string{"(none)"}}, {226, []string{"(127,0,0,1,7,208)"}}} {
		if got, err := ParsePassive(r); err == nil {
			t.Errorf("%v: got %v, want an error", r, got)
		}
	}
	control := addr6.Addr()
	for _, test := range []struct {
		r    Reply
		want netip.AddrPort
	}{
		{ExtendedPassiveReply(65535), addr6},
		{Reply{229, []string{"Entering Passive Mode (|1|127.0.0.1|2000|)"}}, addr4},
		{Reply{229, []string{"Extended (mode) (!!!65535!)"}}, addr6},
	} {
		if got, err := ParseExtendedPassive(test.r, control); err != nil || got != test.want {
			t.Errorf("%v: got %v, %v; want %v", test.r, got, err, test.want)
		}
	}
	for _, text := range []string{"", "(|||)", "(|||x|)", ")(", "(|||65536|)"} {
		if got, err := ParseExtendedPassive(Reply{229, []string{text}}, control); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestStripes(t *testing.T) {
	addrs := []netip.AddrPort{addr4, addr6}
	if got, err := ParseStripes(FormatStripes(addrs)); err != nil || !reflect.DeepEqual(got, addrs) {
		t.Errorf("SPOR form: got %v, %v", got, err)
	}
	r := StripedPassiveReply(addrs)
	if got, err := ParseStripedPassive(r); err != nil || !reflect.DeepEqual(got, addrs) {
		t.Errorf("%v: got %v, %v", r, got, err)
	}
	if got, err := ParseStripedPassive(Reply{229, []string{"Entering Striped Passive Mode.", "End"}}); err == nil {
		t.Errorf("no stripes: got %v, want an error", got)
	}
}

func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"127,0,0,1,7,208", "|2|::1|5|", "Entering (|||5|)", "(1,2,3,4,5,6)", "1,2,3,4,5,6 |1|1.2.3.4|5|"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if a, err := ParseHostPort(in); err == nil {
			if again, err := ParseHostPort(FormatHostPort(a)); err != nil || again != a {
				t.Fatalf("%v read back as %v, %v", a, again, err)
			}
		}
		if list, err := ParseStripes(in); err == nil {
			again, err := ParseStripes(FormatStripes(list))
			if err != nil || len(again) != len(list) {
				t.Fatalf("%v read back as %v, %v", list, again, err)
			}
		}
		_, _ = ParsePassive(Reply{227, []string{in}})
		_, _ = ParseExtendedPassive(Reply{229, []string{in}}, addr6.Addr())
	})
}

#!/bin/bash
# Provenance: the project's fixed measuring flow, kept unchanged but for this line.
# measure_unit.sh TOP FILE.v [FILE.v ...]: the area and delay proxies that every design is compared by, in one fixed flow.
# CLK=port for a clocked unit. MODES="asic buf fpga" chooses the runs (default asic buf fpga).
# Needs Debian's yosys, berkeley-abc, opensta and qflow-tech-osu018. Prints one JSON object.
#   lut       synth_xilinx -family xcup -noiopad -flatten -nodsp -nowidelut: LUT1..LUT6 cells
#   area      synth -flatten; dfflibmap; abc: sum of library cell areas (NAND2X1 = 24, FAX1 = 120, DFFPOSX1 = 96)
#   delay_ns  OpenSTA worst path of that netlist, reset excluded; *_buf: the same with abc's buffering and sizing
# A FAX1/HAX1 instantiated by name is kept as a black box for abc and counted.
set -euo pipefail
top=$1; shift
lib=${LIBERTY:-/usr/share/qflow/tech/osu018/osu018_stdcells.lib}
modes=${MODES:-"asic buf fpga"}
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
printf 'set_driving_cell INVX4\nset_load 0.05 [all_outputs]\n' > "$work/constr"
last_stat() { awk '/=== /{buf=""} {buf=buf"\n"$0} END{print buf}' "$1"; }
count() { awk -v r="$2" '$1 ~ r && $2 ~ /^[0-9]+$/ {s+=$2} END{print s+0}' "$1"; }
json="\"top\": \"$top\""
asic() { # name, abc options
  cat > "$work/$1.ys" <<Y
read_liberty -lib $lib
read_verilog $files
hierarchy -check -top $top
synth -flatten -noalumacc -top $top
dfflibmap -liberty $lib
abc -liberty $lib $2
opt_clean -purge
tee -o $work/$1.stat stat -liberty $lib
write_verilog -noattr -noexpr $work/$1.v
Y
  timeout "${LIMIT_S:-1500}" yosys -q -l "$work/$1.log" "$work/$1.ys" > "$work/$1.out" 2>&1 || { tail -3 "$work/$1.out" >&2; exit 1; }
  if [ -n "${CLK:-}" ]; then clock="[get_ports $CLK]"; else clock=""; fi
  cat > "$work/$1.tcl" <<T
read_liberty $lib
read_verilog $work/$1.v
link_design $top
create_clock -name v -period 1000 $clock
set_input_delay 0 -clock v [all_inputs]
set_output_delay 0 -clock v [all_outputs]
foreach p {rst rstn rst_n rst_ni rst_i} { catch {set_false_path -from [get_ports \$p]} }
report_checks -path_delay max -format full
exit
T
  sta -exit "$work/$1.tcl" > "$work/$1.sta" 2>&1
  last_stat "$work/$1.stat" > "$work/$1.last"
  area=$(awk '/Chip area/{print $NF}' "$work/$1.last")
  dff=$(count "$work/$1.last" '^DFF')
  ns=$(awk '/slack/{for(i=1;i<=NF;i++)if($i ~ /^-?[0-9.]+$/){d=1000-$i; if(d>m)m=d; break}} END{printf "%.3f",m}' "$work/$1.sta")
}
files=$(realpath "$@" | tr '\n' ' ')
for mode in $modes; do case $mode in
  asic) asic plain ""; json="$json, \"area\": $area, \"delay_ns\": $ns, \"dff\": $dff";;
  buf)  asic buf "-constr $work/constr"; json="$json, \"area_buf\": $area, \"delay_ns_buf\": $ns";;
  fpga)
    cat > "$work/fpga.ys" <<Y
read_verilog $files
hierarchy -check -top $top
synth_xilinx -family xcup -noiopad -flatten -nodsp -nowidelut -top $top
tee -o $work/fpga.stat stat -tech xilinx
Y
    timeout "${LIMIT_S:-1500}" yosys -q -l "$work/fpga.log" "$work/fpga.ys" > "$work/fpga.out" 2>&1 || { tail -3 "$work/fpga.out" >&2; exit 1; }
    last_stat "$work/fpga.stat" > "$work/fpga.last"
    json="$json, \"lut\": $(count "$work/fpga.last" '^LUT[1-6]$'), \"ff\": $(count "$work/fpga.last" '^FD[RSCP]E'), \"carry\": $(count "$work/fpga.last" '^CARRY')";;
  *) echo "measure_unit.sh: unknown mode $mode" >&2; exit 2;;
esac; done
echo "{$json}"

"""The page's style sheet: light and dark after the reader's setting, one column on narrow screens."""

CSS = """
:root { color-scheme: light dark; --bg: #f6f7f9; --card: #fff; --ink: #1c2128; --dim: #667085; --line: #e1e4ea;
  --accent: #2563eb; --raw: #2563eb40; }
@media (prefers-color-scheme: dark) { :root { --bg: #12151a; --card: #1b2027; --ink: #e6e9ee; --dim: #97a1b0;
  --line: #2d343e; --accent: #6ea8fe; --raw: #6ea8fe45; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "DejaVu Sans", sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 1.7rem; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .8rem; }
code, pre { font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px; }
.command { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; margin: .6rem 0; }
.facts { color: var(--dim); font-size: .88rem; margin: .2rem 0; } .facts span + span::before { content: " · "; }
.notes { margin: .8rem 0 0; padding: 0 0 0 1.2rem; }
.metrics { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; margin: 0; }
.metrics div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 12px; }
.metrics dt { color: var(--dim); font-size: .8rem; } .metrics dd { margin: 0; font-size: 1.3rem; font-weight: 600;
  font-variant-numeric: tabular-nums; } .metrics small { color: var(--dim); font-size: .8rem; font-weight: 400; }
figure { margin: 0; } figcaption { display: flex; justify-content: space-between; gap: 8px; font-size: .82rem;
  color: var(--dim); padding: 0 2px 5px; } figcaption b { color: var(--ink); font-weight: 600; }
img { display: block; width: 100%; height: auto; border-radius: 6px; }
.view { margin-bottom: 14px; } .view h3 { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 8px;
  font-size: .95rem; }
.view h3 span { color: var(--dim); font-weight: 400; font-variant-numeric: tabular-nums; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); gap: 10px; }
.legend { display: grid; grid-template-columns: auto 1fr auto; gap: 8px; align-items: center; font-size: .75rem;
  color: var(--dim); margin-top: 5px; font-variant-numeric: tabular-nums; }
.legend img { height: 8px; border-radius: 4px; }
.key { font-size: .8rem; color: var(--dim); margin-top: 6px; }
.key div { display: flex; gap: 8px; align-items: center; }
.key i { width: 14px; height: 14px; border-radius: 3px; flex: none; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 12px; }
.chart { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px; }
.chart svg { display: block; width: 100%; height: auto; } .chart text { fill: var(--dim); font-size: 11px; }
.chart .grid { stroke: var(--line); } .chart polyline { fill: none; stroke-linejoin: round; }
.chart .raw { stroke: var(--raw); stroke-width: 1; } .chart .smooth { stroke: var(--accent); stroke-width: 2; }
.turntable { display: grid; grid-template-columns: minmax(200px, 27%) 1fr; gap: 12px; align-items: start;
  margin-bottom: 14px; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 6px; }
.rounds { overflow-x: auto; width: fit-content; max-width: 100%; padding: 6px 14px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: 5px 14px; text-align: right; } th:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; } thead th { color: var(--dim); font-weight: 400; font-size: .8rem; }
tbody tr { border-top: 1px solid var(--line); }
.key { font-size: .82rem; color: var(--dim); margin: 10px 2px; } .key p { display: flex; flex-wrap: wrap;
  gap: 2px 14px; margin: 0; align-items: center; } .key b { color: var(--ink); font-weight: 600; min-width: 15.5em; }
.key span { display: inline-flex; gap: 6px; align-items: center; } .key i { font-style: normal; flex: none; }
.key .disc { width: 10px; height: 10px; border-radius: 50%; background: var(--mark); }
.key .block { width: 11px; height: 11px; border-radius: 2px; background: var(--mark); }
.key .line { width: 14px; height: 3px; background: var(--mark); box-shadow: 0 0 0 1px #10121699; }
.key .cross { color: var(--mark); font-weight: 900; font-size: 1.25em; line-height: 1; }
.key .scale img { width: 120px; height: 8px; border-radius: 4px; }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr)); gap: 10px;
  margin-top: 10px; } .strip img { border-radius: 4px; }
summary span { color: var(--dim); margin-left: 16px; font-size: .88rem; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
details pre { overflow-x: auto; } summary { cursor: pointer; }
@media (max-width: 640px) { .turntable { grid-template-columns: 1fr; } .charts { grid-template-columns: 1fr; }
  .key b { min-width: 100%; } th, td { padding: 5px 8px; } }
"""

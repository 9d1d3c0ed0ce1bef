"""The report: one HTML file of runs and models side by side, that asks nobody for anything.

    material ─► series, settings ─► curves, dots, heat (SVG) ─► sections ─► page ─► report.html

`material` reads what work directories hold, damaged or not. The charts are SVG of our own, `markup`
escapes whatever is not markup, `inline` makes pictures part of the page. `style.css` and
`script.js` become part of it, too; without the script it shows the same, but for values under the
pointer. `live` writes it anew while a run goes on, `serve` shows it on this machine.
"""

"""What `m3i pretrain FOLDER` begins with, a recipe of each method; sizes and rates by hand, too."""

from tracker.commands.main import main

main()
